// Package nfttest has a fake of the kernel's service rules, and the suite that
// the fake and the real table pass.
package nfttest

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"skiff/proxy/service"
)

// Fake keeps rules in memory with nftables' semantics: a transaction that
// removes what is not there, or adds what is, changes nothing and fails.
type Fake struct {
	mu    sync.Mutex
	rules service.Rules
	// Fail, if not nil, is asked before each transaction.
	Fail func() error
}

// Reset implements proxy.Dataplane.
func (f *Fake) Reset(rules service.Rules) error {
	return f.commit(service.Rules{}, service.Diff(nil, rules))
}

// Apply implements proxy.Dataplane.
func (f *Fake) Apply(changes []service.Change) error {
	f.mu.Lock()
	base := maps.Clone(f.rules)
	f.mu.Unlock()
	return f.commit(base, changes)
}

func (f *Fake) commit(base service.Rules, changes []service.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Fail != nil {
		if err := f.Fail(); err != nil {
			return err
		}
	}
	for _, c := range changes {
		was := base[c.Frontend]
		if (was == nil) != (c.Old == nil) || was != nil && !was.Equal(c.Old) {
			return fmt.Errorf("%s is %v, not %v", c.Frontend, was, c.Old)
		}
		if c.New == nil {
			delete(base, c.Frontend)
		} else {
			base[c.Frontend] = c.New
		}
	}
	f.rules = base
	return nil
}

// Dump returns the rules as sorted lines.
func (f *Fake) Dump() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Lines(f.rules), nil
}

// Lines describes rules in a form that can be compared.
func Lines(rules service.Rules) (lines []string) {
	for f, b := range rules {
		line := fmt.Sprintf("%s -> %v", f, b.Endpoints)
		switch b.Action {
		case service.Reject:
			line = fmt.Sprintf("%s reject", f)
		case service.Drop:
			line = fmt.Sprintf("%s drop", f)
		}
		if len(b.Inside) > 0 {
			line += fmt.Sprintf(" inside %v", b.Inside)
		}
		if len(b.Sources) > 0 && !f.IsNodePort() {
			line += fmt.Sprintf(" from %v", b.Sources)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}
