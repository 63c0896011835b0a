package core

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	utilproxy "k8s.io/apimachinery/pkg/util/proxy"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
)

// Clients speak WebSocket or SPDY to the API server; the agent needs to speak only
// SPDY. Streams over a WebSocket that can close them one by one (v5.channel.k8s.io,
// KEP-4006) are translated here, and port forwarding inside a WebSocket
// (SPDY/3.1+portforward.k8s.io) is unwrapped. Older WebSocket protocols, which the
// agent's streaming server knows as well, pass through.

// podExec serves pods/exec.
func (d Deps) podExec(s registry.Objects, namespace, name, _ string) (http.Handler, error) {
	return d.podStreams(s, namespace, name, "exec"), nil
}

// podAttach serves pods/attach.
func (d Deps) podAttach(s registry.Objects, namespace, name, _ string) (http.Handler, error) {
	return d.podStreams(s, namespace, name, "attach"), nil
}

func (d Deps) podStreams(s registry.Objects, namespace, name, verb string) http.Handler {
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		if err := d.mayCreate(r.Context()); err != nil {
			return err
		}
		pod, err := getPod(r.Context(), s, namespace, name)
		if err != nil {
			return err
		}
		query := r.URL.Query()
		container, err := chooseContainer(pod, query.Get("container"))
		if err != nil {
			return err
		}
		node, err := d.nodeOf(r.Context(), pod)
		if err != nil {
			return err
		}
		params, streams := streamParams(query, verb)
		target := &url.URL{
			Scheme: node.Scheme, Host: node.Host, RawQuery: params.Encode(),
			Path: fmt.Sprintf("/%s/%s/%s/%s", verb, pod.Namespace, pod.Name, container),
		}
		through := utilproxy.NewUpgradeAwareHandler(target, node.Transport, false, true, proxyErrors{})
		translated := proxy.NewStreamTranslatorHandler(target, node.Transport, 0, streams)
		proxy.NewTranslatingHandler(through, translated, wsstream.IsWebSocketRequestWithStreamCloseProtocol).ServeHTTP(w, r)
		return nil
	})
}

// podPortForward serves pods/portforward.
func (d Deps) podPortForward(s registry.Objects, namespace, name, _ string) (http.Handler, error) {
	return connection(func(w http.ResponseWriter, r *http.Request) error {
		if err := d.mayCreate(r.Context()); err != nil {
			return err
		}
		pod, err := getPod(r.Context(), s, namespace, name)
		if err != nil {
			return err
		}
		node, err := d.nodeOf(r.Context(), pod)
		if err != nil {
			return err
		}
		params := url.Values{}
		if ports := r.URL.Query()["ports"]; len(ports) > 0 {
			params.Set(corev1.PortHeader, strings.Join(ports, ","))
		}
		target := &url.URL{
			Scheme: node.Scheme, Host: node.Host, RawQuery: params.Encode(),
			Path: fmt.Sprintf("/portForward/%s/%s", pod.Namespace, pod.Name),
		}
		through := utilproxy.NewUpgradeAwareHandler(target, node.Transport, false, true, proxyErrors{})
		tunnel := proxy.NewTunnelingHandler(through)
		proxy.NewTranslatingHandler(through, tunnel, wsstream.IsWebSocketRequestWithTunnelingProtocol).ServeHTTP(w, r)
		return nil
	}), nil
}

// nodeOf reaches the node that a pod is on.
func (d Deps) nodeOf(ctx context.Context, pod *corev1.Pod) (*NodeAddress, error) {
	if pod.Spec.NodeName == "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	conn, err := d.nodeConn()
	if err != nil {
		return nil, err
	}
	return conn.Node(ctx, pod.Spec.NodeName)
}

// chooseContainer returns the container that a client names, or the pod's only
// one.
func chooseContainer(pod *corev1.Pod, name string) (string, error) {
	if name != "" {
		for c := range podtemplate.Containers(&pod.Spec) {
			if c.Name == name {
				return name, nil
			}
		}
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	}
	switch len(pod.Spec.Containers) {
	case 1:
		return pod.Spec.Containers[0].Name, nil
	case 0:
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s", pod.Name))
	}
	var names []string
	for c := range podtemplate.Containers(&pod.Spec) {
		names = append(names, c.Name)
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, names))
}

// streamParams turns the options of the API into those of the kubelet's API.
func streamParams(query url.Values, verb string) (url.Values, proxy.Options) {
	streams := proxy.Options{
		Stdin: boolParam(query, "stdin"), Stdout: boolParam(query, "stdout"), Stderr: boolParam(query, "stderr"), Tty: boolParam(query, "tty"),
	}
	params := url.Values{}
	for _, p := range []struct {
		name string
		set  bool
	}{
		{corev1.ExecStdinParam, streams.Stdin}, {corev1.ExecStdoutParam, streams.Stdout},
		{corev1.ExecStderrParam, streams.Stderr}, {corev1.ExecTTYParam, streams.Tty},
	} {
		if p.set {
			params.Set(p.name, "1")
		}
	}
	if verb == "exec" {
		params["command"] = query["command"]
	}
	return params, streams
}

// boolParam reads a boolean as the API does: anything but false and 0 is true.
func boolParam(query url.Values, name string) bool {
	values, set := query[name], false
	// Never fails.
	_ = runtime.Convert_Slice_string_To_bool(&values, &set, nil)
	return set
}
