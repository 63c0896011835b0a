package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"skiff/agent"
	"skiff/agent/join"
	"skiff/agent/node"
	"skiff/agent/offline"
	"skiff/hostaddr"
	"skiff/resident"
	"skiff/server/clusterinfo"
)

// started is when the process began.
var started = time.Now()

// Run runs an agent until ctx ends, or a part of it cannot go on. It returns after
// everything that it started has stopped; containers run on.
//
//	disk ─┬─ join: key, certificates ─┬─ certificates, cluster's news
//	      └─ container runtime ───────┴─ node: agent, proxy, DNS
//
// It stops in the reverse order.
func Run(ctx context.Context, cfg Config, observer Observer) error {
	dir, err := cfg.openDataDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	runtime := node.StartRuntime(
		node.Config{DataDir: cfg.DataDir, RuntimeEndpoint: cfg.ContainerRuntimeEndpoint, Logger: slog.Default()},
		func(took time.Duration) { observer.Step("container runtime", took) },
	)
	defer closeRuntime(runtime)
	begin := time.Now()
	member, err := join.Join(ctx, join.Config{
		Dir: cfg.dir(), NodeName: cfg.NodeName, Server: cfg.Server, Token: cfg.Token, Logger: slog.Default(),
	})
	if err != nil {
		return toldToStop(ctx, err)
	}
	defer member.Close()
	observer.Step("joined", time.Since(begin))
	info := member.Info()
	if err := node.CheckHost(info.Overlay, info.ClusterCIDRs, info.ServiceCIDRs); err != nil {
		return err
	}
	if err := cfg.mark(dir, member.AuthorityHash(), info); err != nil {
		return err
	}
	d := &daemon{cfg: cfg, member: member, info: info, runtime: runtime, observer: observer}
	if d.store, err = offline.Open(cfg.dir(), member.Key(), slog.Default()); err != nil {
		return err
	}
	err = d.wire()
	if err == nil {
		err = toldToStop(ctx, d.run(ctx))
	}
	return errors.Join(err, d.store.Close())
}

// toldToStop drops the error of what ended because it was told to.
func toldToStop(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func closeRuntime(open func() (*node.Runtime, error)) {
	rt, err := open()
	if err != nil {
		return // its user has told
	}
	if err := rt.Close(); err != nil {
		slog.Error("stopping was not clean", "err", err)
	}
}

// daemon is an agent that has joined.
type daemon struct {
	cfg      Config
	member   *join.Member
	info     clusterinfo.Info
	runtime  func() (*node.Runtime, error)
	observer Observer

	// store is what is known of the cluster while the server is away.
	store     *offline.Store
	informers informers.SharedInformerFactory
	node      *node.Node
	// atStart are the addresses that the node began with.
	atStart []netip.Addr
}

// addresses are what the user named, or what the box has.
func (d *daemon) addresses() ([]netip.Addr, error) {
	if len(d.cfg.NodeIPs) > 0 {
		return d.cfg.NodeIPs, nil
	}
	return hostaddr.FindOrLoopback(d.inCluster)
}

// followAddress has the node follow the box's address, until ctx ends. What users
// fixed stays.
func (d *daemon) followAddress(ctx context.Context) error {
	if len(d.cfg.NodeIPs) > 0 {
		return nil
	}
	last := d.atStart
	return hostaddr.Watch(ctx, d.inCluster, func(ips []netip.Addr) {
		if slices.Equal(ips, last) {
			return
		}
		slog.Info("this box's address changed, following it", "from", last, "to", ips)
		last = ips
		d.member.SetAddresses(ips)
		if err := d.node.SetNodeIPs(ips); err != nil {
			slog.Error("not all of this node follows its new address; a restart makes it", "err", err)
		}
	})
}

// inCluster tells whether an address is of the cluster's own ranges: a bridge of
// an earlier run does not name the node.
func (d *daemon) inCluster(a netip.Addr) bool {
	contains := func(p netip.Prefix) bool { return p.Contains(a) }
	return slices.ContainsFunc(d.info.ClusterCIDRs, contains) || slices.ContainsFunc(d.info.ServiceCIDRs, contains)
}

// wire puts the parts together: what is to know of one another is told here.
func (d *daemon) wire() error {
	ips, err := d.addresses()
	if err != nil {
		return err
	}
	d.atStart = ips
	d.member.SetAddresses(ips)
	clients, err := kubernetes.NewForConfig(d.member.RESTConfig())
	if err != nil {
		return fmt.Errorf("make the agent's client: %w", err)
	}
	d.informers = d.store.Factory(clients, d.cfg.NodeName)
	c := d.informers.Core().V1()
	conf := d.cfg.nodeConfig(ips, d.info)
	conf.Proxy.DNSConfig = c.ConfigMaps().Informer() // the store's: of no others
	d.node, err = node.New(conf, agent.Deps{
		Client: clients,
		Pods:   c.Pods().Informer(), Nodes: c.Nodes().Informer(), Services: c.Services().Informer(),
		Memory:      d.store,
		Certificate: d.member.ServingCertificate,
		ClientCAs:   d.member.ClientCAs,
		Reconnect:   d.member.Reconnect,
		DefaultPod:  defaultPod,
	}, d.informers)
	if err != nil {
		return err
	}
	d.member.OnInfo(d.clusterChanged)
	return nil
}

// run works until ctx ends.
func (d *daemon) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return d.member.Run(ctx) })
	group.Go(func() error { return d.followAddress(ctx) })
	group.Go(func() error { return d.runTunnel(ctx) })
	d.informers.StartWithContext(ctx)
	group.Go(func() error { return d.node.Run(ctx, d.runtime, d.ready) })
	group.Go(func() error {
		<-ctx.Done()
		d.observer.Stopping()
		return nil
	})
	err := group.Wait()
	d.informers.Shutdown()
	return err
}

// ready tells that the node is, and lets the memory of the start be handed back.
func (d *daemon) ready() {
	d.observer.Ready(Summary{
		Node: d.cfg.NodeName, Server: "https://" + d.member.Servers()[0], Took: time.Since(started),
		Away: d.store.Away(), Healthy: d.node.Healthy,
	})
	resident.Settle()
}

// clusterChanged has the node follow what it can while it runs, and says what not.
func (d *daemon) clusterChanged(now clusterinfo.Info) {
	was := d.info
	was.Servers, was.ClientCA, was.NodeLease, was.Overlay = now.Servers, now.ClientCA, now.NodeLease, now.Overlay
	d.node.SetLeaseDuration(now.NodeLease)
	if err := d.node.SetOverlay(now.Overlay); err != nil {
		slog.Error("pods of other nodes are reached as before; an agent of the server's version may know how", "err", err)
	}
	if !was.Equal(now) {
		slog.Warn("the cluster's networks or domain have changed, restart this agent to follow them")
	}
}
