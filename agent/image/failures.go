package image

import (
	"strings"
	"sync"
)

// failures remember why each image could not be pulled, to say so while waiting.
type failures struct {
	mu   sync.Mutex
	text map[string]string
}

func (f *failures) set(key, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text == nil {
		f.text = map[string]string{}
	}
	f.text[key] = text
}

func (f *failures) get(key string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text[key]
}

func (f *failures) forget(prefix string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.text {
		if strings.HasPrefix(key, prefix) {
			delete(f.text, key)
		}
	}
}
