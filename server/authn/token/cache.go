package token

import (
	"crypto/sha256"
	"sync"
)

// cacheSize bounds one generation of the cache: some 1 KiB each.
const cacheSize = 512

// cache remembers tokens whose signature was checked, by their hash (a token's
// text is a secret, and long). It keeps two generations: when the young one
// is full it becomes the old one, and what is used moves back to the young.
type cache struct {
	mu         sync.Mutex
	size       int
	young, old map[[sha256.Size]byte]*verified
}

func newCache(size int) *cache {
	return &cache{size: size, young: map[[sha256.Size]byte]*verified{}}
}

func (c *cache) get(text string) (*verified, bool) {
	key := sha256.Sum256([]byte(text))
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.young[key]; ok {
		return t, true
	}
	t, ok := c.old[key]
	if ok {
		c.add(key, t)
	}
	return t, ok
}

func (c *cache) put(text string, t *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(sha256.Sum256([]byte(text)), t)
}

func (c *cache) add(key [sha256.Size]byte, t *verified) {
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[[sha256.Size]byte]*verified, c.size)
	}
	c.young[key] = t
}
