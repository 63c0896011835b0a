// Package healthcheck tells load balancers outside the cluster which nodes they
// may send a service's traffic to, over HTTP as kube-proxy does: on a port of its
// own for each service that keeps traffic local (Services), and on one port for
// the service proxy as a whole (Proxy).
//
//	health := &healthcheck.Health{}
//	services := healthcheck.NewServices(health)
//	group.Go(func() error { return services.Run(ctx) })
//	services.Sync(map[types.NamespacedName]healthcheck.Service{...})
package healthcheck
