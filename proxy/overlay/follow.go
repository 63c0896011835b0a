package overlay

import (
	"fmt"
	"slices"
)

// Mode is the one that was asked for last.
func (o *Overlay) Mode() Mode {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.wanted
}

// SetMode has the node reach the others in another way, as soon as it can.
// Pods and their connections stay. A mode that this kernel cannot do is told of
// as any other problem is, and the one before goes on.
func (o *Overlay) SetMode(m Mode) error {
	if !slices.Contains(Modes, m) {
		return fmt.Errorf("there is no %q, choose one of %s", m, ModeNames())
	}
	o.mu.Lock()
	same := o.wanted == m
	o.wanted = m
	o.mu.Unlock()
	if !same {
		o.nudge()
	}
	return nil
}

// follow takes up the mode that was asked for.
func (o *Overlay) follow() error {
	wanted := o.Mode()
	if wanted == o.mode {
		return nil
	}
	o.publicKey = ""
	if wanted == WireGuard {
		if err := o.openWireguard(); err != nil {
			return fmt.Errorf("overlay wireguard, %s goes on: %w", o.mode, err)
		}
	}
	o.cfg.Logger.Info("pods of other nodes are reached in another way", "from", o.mode, "to", wanted)
	o.mode, o.have = wanted, nil
	return nil
}

// nudge has the loop look at what is wanted.
func (o *Overlay) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}
