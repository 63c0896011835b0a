package server

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/util/proxy"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/utils/ptr"
)

// serviceDialer connects the API server to services, for webhooks: to one of the
// endpoints itself, through the tunnel of the node where it is. The server's box need
// not be in the pods' network.
type serviceDialer struct {
	services  corelisters.ServiceLister
	endpoints discoverylisters.EndpointSliceLister
	nodes     *nodeConn
}

// DialService implements webhook.Services.
func (d *serviceDialer) DialService(ctx context.Context, namespace, name string, port int32) (net.Conn, error) {
	service, err := d.services.Services(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return d.nodes.dialDirect(ctx, "", net.JoinHostPort(service.Spec.ExternalName, strconv.Itoa(int(port))))
	}
	i := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == port })
	if i < 0 {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", port, name))
	}
	endpoints, err := d.endpoints.EndpointSlices(namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: name}))
	if err != nil {
		return nil, fmt.Errorf("find the endpoints of service %s/%s: %w", namespace, name, err)
	}
	family := corev1.IPv4Protocol
	if f := service.Spec.IPFamilies; len(f) > 0 {
		family = f[0]
	}
	node := ""
	// The endpoint that is found good is the one that is taken.
	address, err := proxy.RandomEndpoint(name, endpoints, service.Spec.Ports[i].Name, family, func(e *discoveryv1.Endpoint) bool {
		node = ptr.Deref(e.NodeName, "")
		return true
	})
	if err != nil {
		return nil, err
	}
	return d.nodes.dialNetwork(ctx, node, address)
}
