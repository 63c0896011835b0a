package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// cacheSize bounds the answers of other servers that are kept.
	cacheSize = 2048
	// longestTTL and longestNegativeTTL bound how long.
	longestTTL         = time.Hour
	longestNegativeTTL = 5 * time.Minute
)

type question struct {
	name   string
	qtype  uint16
	qclass uint16
	// dnssec asks for signatures, which others must not get in place of an answer
	// without.
	dnssec bool
}

// responseCache keeps other servers' answers for as long as these allow, the
// least recently used go first. It is safe for concurrent use.
type responseCache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[question]*list.Element
	recent  *list.List // of *cached, the most recently used first
}

type cached struct {
	question question
	msg      *dns.Msg
	from     time.Time
	until    time.Time
}

func newResponseCache(now func() time.Time) *responseCache {
	return &responseCache{now: now, entries: map[question]*list.Element{}, recent: list.New()}
}

// get returns a copy of the answer with its times to live run down.
func (c *responseCache) get(q question) *dns.Msg {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	if !ok {
		return nil
	}
	hit := e.Value.(*cached)
	if !now.Before(hit.until) || now.Before(hit.from) {
		c.remove(e)
		return nil
	}
	c.recent.MoveToFront(e)
	msg := hit.msg.Copy()
	age := uint32(now.Sub(hit.from) / time.Second)
	eachRecord(msg, func(h *dns.RR_Header) { h.Ttl -= min(age, h.Ttl) })
	return msg
}

// put keeps an answer that may be kept.
func (c *responseCache) put(q question, msg *dns.Msg) {
	keep := lifetime(msg)
	if keep <= 0 {
		return
	}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[q]; ok {
		c.remove(e)
	}
	c.entries[q] = c.recent.PushFront(&cached{q, msg.Copy(), now, now.Add(keep)})
	if c.recent.Len() > cacheSize {
		c.remove(c.recent.Back())
	}
}

// clear forgets all answers.
func (c *responseCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.recent.Init()
}

func (c *responseCache) remove(e *list.Element) {
	c.recent.Remove(e)
	delete(c.entries, e.Value.(*cached).question)
}

// lifetime is how long an answer may be kept: the least of its records' times,
// and for a negative one what its SOA says (RFC 2308).
func lifetime(msg *dns.Msg) time.Duration {
	if msg.Truncated {
		return 0
	}
	negative := msg.Rcode == dns.RcodeNameError || msg.Rcode == dns.RcodeSuccess && len(msg.Answer) == 0
	if msg.Rcode != dns.RcodeSuccess && !negative {
		return 0
	}
	if negative {
		for _, rr := range msg.Ns {
			if soa, ok := rr.(*dns.SOA); ok {
				return min(seconds(min(soa.Minttl, soa.Hdr.Ttl)), longestNegativeTTL)
			}
		}
		return 0
	}
	least := longestTTL
	eachRecord(msg, func(h *dns.RR_Header) { least = min(least, seconds(h.Ttl)) })
	return least
}

func seconds(s uint32) time.Duration { return time.Duration(s) * time.Second }

// eachRecord calls f for the header of each record, except the pseudo record of
// EDNS0.
func eachRecord(msg *dns.Msg, f func(*dns.RR_Header)) {
	for _, section := range [][]dns.RR{msg.Answer, msg.Ns, msg.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT {
				f(h)
			}
		}
	}
}
