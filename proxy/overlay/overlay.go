package overlay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Config says what node an Overlay works for, and how.
type Config struct {
	NodeName string
	// Mode is the first one; SetMode changes it.
	Mode Mode
	// Link names the overlay's own link, at most 15 bytes.
	Link string
	// MTU of the pods' links, 0 for what fits into the uplink's packets.
	MTU int
	// KeyFile holds this node's private key for wireguard; it is made if it is
	// not there.
	KeyFile string
	// PublishKey makes the key the value of this node's KeyAnnotation.
	PublishKey func(ctx context.Context, key string) error
	// OnMTU is told what the pods' links can have, at first and when that changes.
	// Nil is nobody.
	OnMTU func(int)
	// OnProblem is told, a line each, what is newly wrong with the pods' network;
	// it is logged as well. Nil is nobody.
	OnProblem func(string)
	Logger    *slog.Logger
}

// Overlay is one node's.
type Overlay struct {
	cfg   Config
	nodes cache.SharedIndexInformer

	mu     sync.Mutex
	known  map[string]Node
	wanted Mode
	wake   chan struct{}

	// Of the loop alone:
	mode     Mode
	kernel   Kernel
	have     State // nil: not known
	underlay Underlay
	mtu      int
	problems []string
	// publicKey is this node's, for wireguard; published are the other nodes'
	// endpoints as they were last set from their objects.
	publicKey string
	published map[Key]netip.AddrPort
}

// New returns an Overlay over an informer of all nodes, which somebody else runs.
func New(cfg Config, nodes cache.SharedIndexInformer) (*Overlay, error) {
	if !slices.Contains(Modes, cfg.Mode) {
		return nil, fmt.Errorf("overlay: there is no %q, choose one of %s", cfg.Mode, ModeNames())
	}
	if cfg.Link == "" || len(cfg.Link) > 15 {
		return nil, fmt.Errorf("overlay: a link's name has 1 to 15 bytes, not %q", cfg.Link)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Overlay{cfg: cfg, nodes: nodes, mode: cfg.Mode, wanted: cfg.Mode, known: map[string]Node{}, wake: make(chan struct{}, 1)}, nil
}

// The kernel is asked again after a failure, soon at first.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
	// settle is how long changes of somebody else's are collected: they come in
	// bursts, and each time all tables are read.
	settle = 100 * time.Millisecond
)

// Run keeps the kernel's tables as the nodes want them until ctx ends. It leaves
// them as they are, so that pods go on talking while Skiff restarts. ready is
// called after the first pass, also if that failed: pods of this node can run.
func (o *Overlay) Run(ctx context.Context, ready func()) error {
	t, err := openTables(o.cfg.Link)
	if err != nil {
		return err
	}
	defer t.close()
	o.kernel = t
	if o.mode == WireGuard {
		if err := o.openWireguard(); err != nil {
			return fmt.Errorf("overlay wireguard: %w", err)
		}
	}
	events, err := watchKernel(ctx, o.cfg.Link)
	if err != nil {
		return err
	}
	registration, err := o.nodes.AddEventHandler(o.handler())
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	defer func() { _ = o.nodes.RemoveEventHandler(registration) }()
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil
	}
	return o.loop(ctx, events, ready)
}

func (o *Overlay) loop(ctx context.Context, events <-chan event, ready func()) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	var settled <-chan time.Time
	for delay := firstRetry; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		case <-retry.C:
		case e := <-events:
			if settled == nil && e.concerns(o.underlay) {
				settled = time.After(settle)
			}
			continue
		case <-settled:
			o.have, settled = nil, nil
		}
		if err := o.sync(ctx); err != nil {
			o.have = nil
			retry.Reset(delay)
			delay = min(2*delay, lastRetry)
		} else {
			delay = firstRetry
		}
		if ready != nil {
			ready()
			ready = nil
		}
	}
}

// sync makes one pass: it looks at the nodes and, if it does not know it, at the
// kernel, and acts on the difference.
func (o *Overlay) sync(ctx context.Context) error {
	self, others := o.snapshot()
	unable := o.follow()
	if o.have == nil {
		have, underlay, err := o.kernel.Read()
		if err != nil {
			return o.report(nil, errors.Join(unable, err))
		}
		o.have, o.underlay = have, underlay
	}
	if o.mode != None && !self.whole() {
		return unable // not known yet, or not any more: what is there may be right
	}
	var problems []string
	mtu, err := o.underlay.mtu(o.mode, self, o.cfg.MTU)
	if err != nil {
		problems = append(problems, err.Error())
	}
	if mtu != o.mtu && mtu > 0 {
		o.mtu = mtu
		if o.cfg.OnMTU != nil {
			o.cfg.OnMTU(mtu)
		}
	}
	p := planner{link: o.cfg.Link, mode: o.mode, self: self, others: others, underlay: o.underlay, mtu: max(mtu, LeastMTU), publicKey: o.publicKey}
	want, more := p.plan()
	o.keepRoamed(want)
	err = errors.Join(unable, o.publish(ctx, self), reconcile(o.kernel, o.have, want))
	o.have = want
	if len(want) > 0 {
		err = errors.Join(err, enableForwarding())
	}
	return o.report(append(problems, more...), err)
}

// report tells what is newly wrong, and returns err. An error and each problem is
// told once, until it is over.
func (o *Overlay) report(problems []string, err error) error {
	if err != nil {
		problems = append(problems, oneLine(err))
	}
	for _, p := range problems {
		if slices.Contains(o.problems, p) {
			continue
		}
		o.cfg.Logger.Error("the pods' network is not as it should be", "overlay", o.mode, "err", p)
		if o.cfg.OnProblem != nil {
			o.cfg.OnProblem(p)
		}
	}
	if len(problems) == 0 && len(o.problems) > 0 {
		o.cfg.Logger.Info("the pods' network is as it should be", "overlay", o.mode)
	}
	o.problems = problems
	return err
}

// oneLine is an error's first line: what fails for one node mostly fails for all.
func oneLine(err error) string {
	first, rest, more := strings.Cut(err.Error(), "\n")
	if more {
		return fmt.Sprintf("%s (and %d more)", first, strings.Count(rest, "\n")+1)
	}
	return first
}

// snapshot returns this node and all others.
func (o *Overlay) snapshot() (self Node, others []Node) {
	o.mu.Lock()
	defer o.mu.Unlock()
	self = o.known[o.cfg.NodeName]
	self.Name = o.cfg.NodeName
	for n := range maps.Values(o.known) {
		if n.Name != o.cfg.NodeName {
			others = append(others, n)
		}
	}
	return self, others
}

// handler keeps what matters of the nodes. Most changes of a node (its lease, its
// images) do not.
func (o *Overlay) handler() cache.ResourceEventHandler {
	take := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok {
			o.learn(nodeOf(n))
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    take,
		UpdateFunc: func(_, obj any) { take(obj) },
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if n, ok := obj.(*corev1.Node); ok {
				o.learn(Node{Name: n.Name})
			}
		},
	}
}

// learn takes in a node; one that is gone has nothing but its name.
func (o *Overlay) learn(n Node) {
	o.mu.Lock()
	had, ok := o.known[n.Name]
	if n.equal(Node{Name: n.Name}) {
		delete(o.known, n.Name)
	} else {
		o.known[n.Name] = n
	}
	o.mu.Unlock()
	if ok && had.equal(n) || !ok && n.equal(Node{Name: n.Name}) {
		return
	}
	o.nudge()
}
