package core

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/util/proxy"

	"skiff/server/registry"
)

var endpointSliceResource = schema.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}

// serviceProxy serves services/proxy: a port of one of the service's endpoints
// that is a pod.
func (d Deps) serviceProxy(s registry.Objects, namespace, id, below string) (http.Handler, error) {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(id)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid service request %q", id))
	}
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		conn, err := d.nodeConn()
		if err != nil {
			return err
		}
		host, node, err := d.endpoint(r.Context(), s, namespace, name, port)
		if err != nil {
			return err
		}
		forward(w, r, &url.URL{Scheme: or(scheme, "http"), Host: host}, conn.Network(node), below)
		return nil
	}), nil
}

// endpoint picks an endpoint of a service, and tells on which node it is; port is a
// number or name, "" for the only one.
func (d Deps) endpoint(ctx context.Context, s registry.Objects, namespace, name, port string) (host, node string, err error) {
	if number, err := strconv.ParseInt(port, 10, 64); err == nil {
		if port, err = namedPort(ctx, s, namespace, name, number); err != nil {
			return "", "", err
		}
	}
	endpointSlices, err := slicesOf(ctx, s, namespace, name)
	if err != nil {
		return "", "", err
	}
	if len(endpointSlices) == 0 {
		return "", "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	// The one that is found good is taken.
	host, err = proxy.RandomEndpoint(name, endpointSlices, port, newAllocator(d).primary, func(e *discoveryv1.Endpoint) bool {
		pod := podOf(ctx, s, namespace, e)
		if pod == nil {
			return false
		}
		node = pod.Spec.NodeName
		return true
	})
	return host, node, err
}

// namedPort returns the name of a service's port of that number.
func namedPort(ctx context.Context, s registry.Objects, namespace, service string, number int64) (string, error) {
	obj, err := s.Get(ctx, namespace, service)
	if err != nil {
		return "", err
	}
	ports := obj.(*corev1.Service).Spec.Ports
	i := slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return int64(p.Port) == number })
	if i < 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, service))
	}
	return ports[i].Name, nil
}

func slicesOf(ctx context.Context, s registry.Objects, namespace, service string) ([]*discoveryv1.EndpointSlice, error) {
	all, ok := s.Of(endpointSliceResource)
	if !ok {
		return nil, nil
	}
	l, ok := all.(lister)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("list endpoint slices: %T cannot list", all))
	}
	list, err := l.List(ctx, registry.ListOptions{
		Namespace: namespace, ResourceVersion: "0",
		Selector: registry.Selector{Labels: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service})},
	})
	if err != nil {
		return nil, err
	}
	var found []*discoveryv1.EndpointSlice
	for _, item := range list.Items {
		obj, err := l.Decode(item.Key, item.Value, item.Revision)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		found = append(found, obj.(*discoveryv1.EndpointSlice))
	}
	return found, nil
}

// podOf returns the pod that an endpoint names, if the endpoint's address is that
// pod's, or nil: the proxy must not be led to other places.
func podOf(ctx context.Context, s registry.Objects, namespace string, e *discoveryv1.Endpoint) *corev1.Pod {
	if e.TargetRef == nil || e.TargetRef.Namespace != namespace || len(e.Addresses) == 0 {
		return nil
	}
	all, ok := s.Of(podResource)
	if !ok {
		return nil
	}
	pod, err := getPod(ctx, all, namespace, e.TargetRef.Name)
	if err != nil || !slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == e.Addresses[0] }) {
		return nil
	}
	return pod
}
