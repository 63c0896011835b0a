package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"

	"skiff/server/registry"
)

// NodeConn reaches nodes, and what runs on them.
type NodeConn interface {
	// Node returns how to reach the agent of a node. Errors are API statuses.
	Node(ctx context.Context, name string) (*NodeAddress, error)
	// Network is the way to the addresses of a node and its pods; with "", to an
	// address of which it is not known where it is.
	Network(node string) http.RoundTripper
}

// NodeAddress is where the agent of a node serves the kubelet's API.
type NodeAddress struct {
	// Scheme and Host are those of its URL, Host with the port.
	Scheme, Host string
	// Transport presents the API server's identity and checks the node's. It
	// must not use HTTP/2, which has no upgrades.
	Transport http.RoundTripper
	// Insecure is Transport without the check, for clients that ask for it.
	Insecure http.RoundTripper
}

// The verbs that connecting subresources are advertised with.
var (
	connectVerbs = []string{"create", "delete", "get", "patch", "update"}
	streamVerbs  = []string{"create", "get"}
)

// connection makes the handler of one connection; its errors are API statuses.
type connection func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP serves, or answers with a Status that says why not.
func (c connection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := c(w, r); err != nil {
		writeStatus(w, err)
	}
}

func writeStatus(w http.ResponseWriter, err error) {
	var known apierrors.APIStatus
	if !errors.As(err, &known) {
		known = apierrors.NewInternalError(err)
	}
	status := known.Status()
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status) // the client is gone if this fails
}

// proxyErrors answers a client whose request could not be passed on.
type proxyErrors struct{}

func (proxyErrors) Error(w http.ResponseWriter, _ *http.Request, err error) {
	if _, ok := errors.AsType[*apierrors.StatusError](err); !ok {
		err = apierrors.NewServiceUnavailable("error trying to reach service: " + err.Error())
	}
	writeStatus(w, err)
}

func (d Deps) nodeConn() (NodeConn, error) {
	if d.Nodes == nil {
		return nil, apierrors.NewServiceUnavailable("this server does not reach nodes")
	}
	return d.Nodes, nil
}

// forward passes a request on to target and below, with links in answers
// rewritten.
func forward(w http.ResponseWriter, r *http.Request, target *url.URL, transport http.RoundTripper, below string) {
	target.Path = "/" + strings.TrimPrefix(below, "/")
	target.RawQuery = r.URL.RawQuery
	proxy.NewUpgradeAwareHandler(target, transport, true, false, proxyErrors{}).ServeHTTP(w, r)
}

// nodeProxy serves nodes/proxy: the agent's API, or another port of the node.
func (d Deps) nodeProxy(_ registry.Objects, _, id, below string) (http.Handler, error) {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(id)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid node request %q", id))
	}
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		conn, err := d.nodeConn()
		if err != nil {
			return err
		}
		node, err := conn.Node(r.Context(), name)
		if err != nil {
			return err
		}
		host, own, err := net.SplitHostPort(node.Host)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("address of node %s: %w", name, err))
		}
		if port == "" || port == own {
			forward(w, r, &url.URL{Scheme: node.Scheme, Host: node.Host}, node.Transport, below)
			return nil
		}
		if ip := net.ParseIP(host); ip != nil && !ip.IsGlobalUnicast() {
			return apierrors.NewBadRequest("address not allowed")
		}
		forward(w, r, &url.URL{Scheme: or(scheme, "http"), Host: net.JoinHostPort(host, port)}, conn.Network(name), below)
		return nil
	}), nil
}

// podProxy serves pods/proxy: a port of the pod, by default the first that it
// names.
func (d Deps) podProxy(s registry.Objects, namespace, id, below string) (http.Handler, error) {
	scheme, name, port, ok := utilnet.SplitSchemeNamePort(id)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("invalid pod request %q", id))
	}
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		conn, err := d.nodeConn()
		if err != nil {
			return err
		}
		pod, err := getPod(r.Context(), s, namespace, name)
		if err != nil {
			return err
		}
		host, err := podHost(pod, port)
		if err != nil {
			return err
		}
		forward(w, r, &url.URL{Scheme: or(scheme, "http"), Host: host}, conn.Network(pod.Spec.NodeName), below)
		return nil
	}), nil
}

func podHost(pod *corev1.Pod, port string) (string, error) {
	for i := range pod.Spec.Containers {
		if ports := pod.Spec.Containers[i].Ports; port == "" && len(ports) > 0 {
			port = fmt.Sprint(ports[0].ContainerPort)
		}
	}
	ip := ""
	if len(pod.Status.PodIPs) > 0 {
		ip = pod.Status.PodIPs[0].IP
	}
	if parsed := net.ParseIP(ip); parsed == nil || !parsed.IsGlobalUnicast() {
		return "", apierrors.NewBadRequest("address not allowed")
	}
	if port != "" {
		return net.JoinHostPort(ip, port), nil
	}
	if strings.Contains(ip, ":") {
		return "[" + ip + "]", nil
	}
	return ip, nil
}

func getPod(ctx context.Context, s registry.Objects, namespace, name string) (*corev1.Pod, error) {
	obj, err := s.Get(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("get pod %s/%s: it is a %T", namespace, name, obj))
	}
	return pod, nil
}

// mayCreate asks whether the client may create the subresource that it connects
// to. A WebSocket is opened with a GET, which alone must not be enough.
func (d Deps) mayCreate(ctx context.Context) error {
	info, ok := request.RequestInfoFrom(ctx)
	if d.Authorizer == nil || !ok || info.Verb == "create" {
		return nil
	}
	u, ok := request.UserFrom(ctx)
	if !ok {
		return apierrors.NewInternalError(errors.New("no user found for request"))
	}
	decision, reason, err := d.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "create", Namespace: info.Namespace, APIGroup: info.APIGroup, APIVersion: info.APIVersion,
		Resource: info.Resource, Subresource: info.Subresource, Name: info.Name, ResourceRequest: true, Path: info.Path,
	})
	if err != nil {
		return err
	}
	if decision != authorizer.DecisionAllow {
		return apierrors.NewForbidden(schema.GroupResource{Group: info.APIGroup, Resource: info.Resource}, info.Name, errors.New(reason))
	}
	return nil
}
