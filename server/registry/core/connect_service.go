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
		host, err := d.endpoint(r.Context(), s, namespace, name, port)
		if err != nil {
			return err
		}
		forward(w, r, &url.URL{Scheme: or(scheme, "http"), Host: host}, conn.Network(), below)
		return nil
	}), nil
}

// endpoint picks an endpoint of a service; port is a number or name, "" for the
// only one.
func (d Deps) endpoint(ctx context.Context, s registry.Objects, namespace, name, port string) (string, error) {
	if number, err := strconv.ParseInt(port, 10, 64); err == nil {
		obj, err := s.Get(ctx, namespace, name)
		if err != nil {
			return "", err
		}
		ports := obj.(*corev1.Service).Spec.Ports
		i := slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return int64(p.Port) == number })
		if i < 0 {
			return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", number, name))
		}
		port = ports[i].Name
	}
	endpointSlices, err := slicesOf(ctx, s, namespace, name)
	if err != nil {
		return "", err
	}
	if len(endpointSlices) == 0 {
		return "", apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", name))
	}
	family := newAllocator(d).primary
	return proxy.RandomEndpoint(name, endpointSlices, port, family, func(e *discoveryv1.Endpoint) bool {
		return isPodAddress(ctx, s, namespace, e)
	})
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

// isPodAddress tells whether an endpoint's address is that of the pod it names:
// the proxy must not be led to other places.
func isPodAddress(ctx context.Context, s registry.Objects, namespace string, e *discoveryv1.Endpoint) bool {
	if e.TargetRef == nil || e.TargetRef.Namespace != namespace || len(e.Addresses) == 0 {
		return false
	}
	all, ok := s.Of(podResource)
	if !ok {
		return false
	}
	pod, err := getPod(ctx, all, namespace, e.TargetRef.Name)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return ip.IP == e.Addresses[0] })
}
