package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"
	"sync"
)

// store is a map whose every change is on disk before it is seen.
type store struct {
	path string

	mu   sync.Mutex
	data map[string]string
}

// notNumberError is a counter's name under which something else is kept.
type notNumberError string

func (e notNumberError) Error() string { return fmt.Sprintf("the value of %q is no number", string(e)) }

func openStore(path string) (*store, error) {
	s := &store{path: path, data: map[string]string{}}
	raw, err := os.ReadFile(path)
	if notExist(err) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &s.data)
	}
	if err != nil {
		return nil, fmt.Errorf("open data file %s: %w", path, err)
	}
	return s, nil
}

func (s *store) read(key string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.data[key]
	return value, ok
}

func (s *store) write(key, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set(key, value)
}

func (s *store) add(key string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	if value, ok := s.data[key]; ok {
		var err error
		if n, err = strconv.Atoi(value); err != nil {
			return 0, notNumberError(key)
		}
	}
	return n + 1, s.set(key, strconv.Itoa(n+1))
}

// set writes a new file beside the old one and renames it: after a power cut
// one of the two is there, whole.
func (s *store) set(key, value string) error {
	next := maps.Clone(s.data)
	next[key] = value
	if err := replaceFile(s.path, next); err != nil {
		return fmt.Errorf("write data file %s: %w", s.path, err)
	}
	s.data = next
	return nil
}

func replaceFile(path string, data map[string]string) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
