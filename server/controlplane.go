package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"skiff/agent"
	"skiff/agent/node"
	"skiff/scheduler"
	"skiff/server/admission"
	"skiff/server/admission/plugins"
	"skiff/server/admission/webhook"
	"skiff/server/api"
	"skiff/server/authn"
	"skiff/server/authn/token"
	"skiff/server/authz"
	"skiff/server/authz/bootstrap"
	"skiff/server/client"
	"skiff/server/clusterinfo"
	"skiff/server/controller"
	"skiff/server/controller/events"
	"skiff/server/controllers"
	"skiff/server/controllers/apiserver"
	certificatecontroller "skiff/server/controllers/certificates"
	clusterinfocontroller "skiff/server/controllers/clusterinfo"
	"skiff/server/controllers/nodeipam"
	"skiff/server/join"
	"skiff/server/openapi"
	"skiff/server/pki"
	"skiff/server/registry/authentication"
	"skiff/server/registry/authorization"
	"skiff/server/registry/builtin"
	"skiff/server/registry/certificates"
	"skiff/server/registry/core"
	"skiff/server/registry/rbac"
	"skiff/server/tunnel"
	"skiff/server/tunnel/wire"
)

// controlPlane is a server that is put together and has not begun.
type controlPlane struct {
	cfg   Config
	state *state
	api   *api.Server
	admin kubernetes.Interface
	// starter is who writes what the start waits for, by no webhook.
	starter   user.Info
	informers informers.SharedInformerFactory
	events    *events.Sink
	addrs     *addresses
	tunnels   *tunnel.Server
	webhooks  *webhook.Metrics
	serving   *pki.Certificate
	// kubelet is the serving certificate of this box's node.
	kubelet *pki.Certificate
	// kubeconfig is the administrator's file, nil for none.
	kubeconfig *pki.KubeconfigFile
	issuer     *token.Issuer

	controllers []controller.Controller
	loops       *controller.Metrics
	scheduler   *scheduler.Scheduler
	node        *node.Node
	// dnsConfig is what users tell the node's DNS, nil without one.
	dnsConfig cache.SharedIndexInformer
	// nodeReady is closed when the node has become Ready in this run.
	nodeReady chan struct{}
}

// as returns a user of the server's own process.
func as(name string, groups ...string) user.Info {
	return &user.DefaultInfo{Name: name, Groups: append(groups, user.AllAuthenticated)}
}

// newControlPlane puts the parts together. The API server and those that decide
// for it (authentication, authorization, admission) need each other: these get a
// client that calls the server through cp, which is complete before any of them
// uses it.
func newControlPlane(cfg Config, addrs *addresses, s *state) (*controlPlane, error) {
	cp := &controlPlane{
		cfg: cfg, addrs: addrs, state: s, tunnels: tunnel.New(slog.Default()), nodeReady: make(chan struct{}),
		starter: as("system:apiserver", user.SystemPrivilegedGroup),
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { cp.api.ServeHTTP(w, r) })
	var err error
	if cp.admin, err = kubernetes.NewForConfig(client.InProcess(handler, as("system:apiserver", user.SystemPrivilegedGroup))); err != nil {
		return nil, fmt.Errorf("make the server's own client: %w", err)
	}
	cp.informers = client.Informers(cp.admin)
	cp.events = events.NewSink(cp.admin, clock.RealClock{}, slog.Default())
	if err := cp.makeAPI(); err != nil {
		return nil, err
	}
	if err := cp.makeLoops(handler); err != nil {
		return nil, err
	}
	if err := cp.makeNode(handler); err != nil {
		return nil, err
	}
	if err := cp.makeKubeconfig(); err != nil {
		return nil, err
	}
	return cp, cp.registerMetrics()
}

func (cp *controlPlane) serviceIPs() (ips []netip.Addr) {
	for _, p := range cp.cfg.ServiceCIDRs {
		ips = append(ips, firstAddress(p))
	}
	return ips
}

// makeAPI makes the API server.
func (cp *controlPlane) makeAPI() error {
	cfg, p := cp.cfg, cp.state.pki
	issuer, err := token.NewIssuer(token.Config{URL: "https://kubernetes.default.svc." + cfg.ClusterDomain, Key: p.ServiceAccountKey})
	if err != nil {
		return err
	}
	cp.issuer = issuer
	c := cp.informers.Core().V1()
	users := authn.New(authn.Config{
		ClientCA: p.Client.Pool(), FrontProxyCA: p.FrontProxy.Pool(), Anonymous: true, Audiences: issuer.Audiences(),
		Tokens: []authenticator.Token{issuer.Verifier(token.CachedGetter{
			ServiceAccounts: c.ServiceAccounts().Lister(), Pods: c.Pods().Lister(), Nodes: c.Nodes().Lister(), Client: cp.admin,
		}), join.NewAuthenticator(cp.admin.CoreV1().Secrets(join.Namespace), time.Now)},
	})
	rights, err := authz.New(authz.Config{
		Informers: cp.informers, Client: cp.admin, OpenPaths: []string{"/healthz", "/livez", "/readyz", join.AuthoritiesPath},
	})
	if err != nil {
		return err
	}
	toNodes, err := p.Certificate(pki.APIServerKubeletClient())
	if err != nil {
		return err
	}
	if cp.serving, err = p.Certificate(pki.APIServer(cp.servingNames())); err != nil {
		return err
	}
	keys, err := issuer.Discovery("", cp.external)
	if err != nil {
		return err
	}
	docs, err := openapi.New()
	if err != nil {
		return err
	}
	nodes := newNodeConn(c.Nodes().Lister(), p, toNodes, cp.tunnels)
	cp.api, err = api.New(api.Config{
		Store: cp.state.store,
		Resources: builtin.Resources(builtin.Deps{
			Core: core.Deps{
				ServiceCIDRs: cfg.ServiceCIDRs, ServiceOwners: cfg.serviceOwners(), Nodes: nodes,
				Token: issuer.Create, Authorizer: rights, Objects: cp.objects,
			},
			RBAC:           rbac.Deps{Rules: rights.RBAC.Resolver(), Authorizer: rights},
			Certificates:   certificates.Deps{Authorizer: rights},
			Authentication: authentication.Deps{Tokens: users, Audiences: issuer.Audiences()},
			Authorization:  authorization.Deps{Authorizer: rights, Rules: rights},
		}),
		Authenticator: users,
		Authorizer:    rights,
		Admission:     cp.admission(rights, nodes),
		OpenAPI:       docs,
		Checks:        cp.checks(),
		Paths: map[string]http.Handler{
			token.ConfigPath: keys.Config(), token.KeysPath: keys.Keys(), join.AuthoritiesPath: join.Authorities(p.Server.PEM),
			wire.Path: cp.tunnels,
		},
		Logger: slog.Default(),
	})
	return err
}

// admission is the whole chain: the plugins that are on by default, and behind them
// the webhooks.
func (cp *controlPlane) admission(rights authorizer.UnconditionalAuthorizer, nodes *nodeConn) admission.Chain {
	cp.webhooks = webhook.NewMetrics()
	mutating, validating := webhook.New(webhook.Config{
		Informers: cp.informers, Client: cp.admin, Authorizer: rights, Starter: cp.starter, Logger: slog.Default(), Metrics: cp.webhooks,
		Services: &serviceDialer{
			services: cp.informers.Core().V1().Services().Lister(), endpoints: cp.informers.Discovery().V1().EndpointSlices().Lister(), nodes: nodes,
		},
	})
	return append(plugins.Default(plugins.Deps{
		Informers: cp.informers, Client: cp.admin, Authorizer: rights, Tolerations: cp.cfg.NodeLoss.tolerations(),
	}), mutating, validating)
}

// makeLoops makes the controllers and the scheduler.
func (cp *controlPlane) makeLoops(handler http.Handler) error {
	cfg := cp.cfg
	if !cfg.Disabled("controllers") {
		manager := client.InProcess(handler, as("system:kube-controller-manager", user.SystemPrivilegedGroup))
		clientset, err := kubernetes.NewForConfig(manager)
		if err != nil {
			return err
		}
		meta, err := metadata.NewForConfig(manager)
		if err != nil {
			return err
		}
		cp.controllers, err = controllers.All(controllers.Deps{
			Client: clientset, Metadata: meta, Informers: cp.informers, Events: cp.events, Clock: clock.RealClock{}, Logger: slog.Default(),
			RootCA:       func() []byte { return cp.state.pki.Server.PEM },
			SignToken:    cp.issuer.IssueLegacy,
			Certificates: certificatecontroller.Config{Client: cp.state.pki.Client, Serving: cp.state.pki.Server},
			// Upstream's default: pods that ended are kept for their logs.
			TerminatedPods: 12500,
			NodeLifecycle:  cfg.NodeLoss.lifecycle(),
			NodeIPAM:       nodeipam.Config{ClusterCIDRs: cfg.ClusterCIDRs, MaskSize4: 24, MaskSize6: 64},
			ServiceCIDRs:   cfg.ServiceCIDRs,
			ClusterDNS:     cfg.dnsAddresses(),
			ClusterInfo:    clusterinfocontroller.Config{Info: cp.clusterInfo, Changed: cp.addrs.changes()},
			NodeApproval:   cp.nodeApproval(),
			APIServer: apiserver.Config{
				Addresses: cp.addrs.published, Changed: cp.addrs.changes(),
				Port: int32(cfg.HTTPSPort), ServiceIP: cp.serviceIPs()[0],
			},
		})
		if err != nil {
			return err
		}
		if err := cp.addManifests(handler); err != nil {
			return err
		}
	}
	if cfg.Disabled("scheduler") {
		return nil
	}
	clientset, err := kubernetes.NewForConfig(client.InProcess(handler, as(user.KubeScheduler, user.SystemPrivilegedGroup)))
	if err != nil {
		return err
	}
	cp.scheduler, err = scheduler.New(scheduler.Config{
		Client: clientset, Informers: cp.informers, Recorder: schedulerEvents{cp.events.Recorder("default-scheduler")},
	})
	return err
}

// makeNode makes this box's node, unless it is to have none.
func (cp *controlPlane) makeNode(handler http.Handler) error {
	cfg := cp.cfg
	if cfg.DisableAgent {
		return nil
	}
	clientset, err := kubernetes.NewForConfig(client.InProcess(handler, as("system:node:"+cfg.NodeName, user.NodesGroup)))
	if err != nil {
		return err
	}
	if cp.kubelet, err = cp.state.pki.Certificate(pki.KubeletServing(cfg.NodeName, cp.addrs.ofNode())); err != nil {
		return err
	}
	c := cp.informers.Core().V1()
	conf := cfg.nodeConfig(cp.addrs.ofNode())
	if !conf.Proxy.DisableDNS {
		// With the server's own rights: those of nodes are not known from the first moment on.
		cp.dnsConfig = client.ConfigMapInformer(cp.admin, clusterinfo.Namespace, clusterinfo.DNSName)
		conf.Proxy.DNSConfig = cp.dnsConfig
	}
	cp.node, err = node.New(conf, agent.Deps{
		Client: clientset,
		Pods:   c.Pods().Informer(), Nodes: c.Nodes().Informer(), Services: c.Services().Informer(),
		Recorder:    cp.events.Recorder("kubelet"),
		Certificate: cp.kubelet.GetCertificate,
		ClientCAs:   cp.state.pki.Client.Pool,
		DefaultPod:  defaultPod,
	}, cp.informers)
	return err
}

// run serves until ctx ends.
func (cp *controlPlane) run(ctx context.Context, listener net.Listener, observer Observer) error {
	// The API server outlives what uses it, by a context of its own.
	apiCtx, stopAPI := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAPI()
	var server errgroup.Group
	apiDown := make(chan struct{})
	server.Go(func() error {
		defer close(apiDown)
		return cp.api.Serve(apiCtx, listener, tlsConfig(cp.serving))
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-apiDown:
			return fmt.Errorf("the API server ended")
		case <-ctx.Done():
			observer.Stopping()
			return nil
		}
	})
	group.Go(func() error {
		begin := time.Now()
		if err := cp.start(ctx, group); err != nil {
			return err
		}
		observer.Step("control plane", time.Since(begin))
		return cp.awaitReady(ctx, observer)
	})
	err := group.Wait()
	cp.events.Close()
	stopAPI()
	cp.tunnels.Close()
	if serveErr := server.Wait(); err == nil {
		err = serveErr
	}
	cp.informers.Shutdown()
	if errors.Is(err, context.Canceled) {
		return nil // told to stop, as every part below says in its own way
	}
	return err
}

// start starts everything above the API server.
func (cp *controlPlane) start(ctx context.Context, group *errgroup.Group) error {
	begin := time.Now()
	if err := cp.writeDefaults(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // told to stop before the start was over
		}
		return err
	}
	slog.Debug("default objects are there", "ms", time.Since(begin).Milliseconds())
	group.Go(func() error { return cp.state.pki.Run(ctx) })
	group.Go(func() error { return cp.followAddress(ctx) })
	group.Go(func() error { cp.api.Registry().Reap(ctx, slog.Default()); return nil })
	if cp.scheduler != nil {
		group.Go(func() error { return cp.scheduler.Run(ctx) })
	}
	if cp.dnsConfig != nil {
		group.Go(func() error { cp.dnsConfig.RunWithContext(ctx); return nil })
	}
	if cp.node != nil {
		group.Go(func() error { return cp.node.Run(ctx, cp.state.runtime, func() { close(cp.nodeReady) }) })
	}
	// With the context itself: one made of its channel costs a goroutine for each
	// context that is derived from it, two per informer.
	startInformers := func(context.Context) { cp.informers.StartWithContext(ctx) }
	if cp.controllers == nil {
		startInformers(ctx)
		return nil
	}
	group.Go(func() error {
		return controller.Run(ctx, controller.Config{Logger: slog.Default(), Metrics: cp.loops, StartInformers: startInformers}, cp.controllers)
	})
	return nil
}

// writeDefaults makes the objects that a cluster cannot do without.
func (cp *controlPlane) writeDefaults(ctx context.Context) error {
	clientset, err := kubernetes.NewForConfig(client.InProcess(cp.api, cp.starter))
	if err != nil {
		return err
	}
	if err := bootstrap.Ensure(ctx, clientset); err != nil {
		return fmt.Errorf("write the cluster's default objects: %w", err)
	}
	return join.KeepOwn(ctx, clientset, cp.state.token, cp.cfg.NodeName)
}

// makeKubeconfig makes the file of the administrator's credentials, and does not
// write it yet.
func (cp *controlPlane) makeKubeconfig() error {
	if cp.cfg.WriteKubeconfig == "" {
		return nil
	}
	admin, err := cp.state.pki.Certificate(pki.Admin())
	if err != nil {
		return err
	}
	cp.kubeconfig = cp.state.pki.KubeconfigFile(cp.cfg.WriteKubeconfig, cp.url, admin)
	return nil
}
