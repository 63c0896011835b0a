package container

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/agent/fieldpath"
)

// environment collects a container's variables in the order in which they were
// first set.
type environment struct {
	order  []string
	values map[string]string
}

func (e *environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.order = append(e.order, name)
	}
	e.values[name] = value
}

// env returns a container's variables: from whole objects first, then single
// ones, which may refer to all before them, then the services' where the name is
// not taken.
func (n *Node) env(ctx context.Context, r Request) (*environment, error) {
	pod, c := r.Pod, r.Container
	services, err := n.serviceEnv(pod)
	if err != nil {
		return nil, err
	}
	e := &environment{values: map[string]string{}}
	for i := range c.EnvFrom {
		if err := n.envFrom(ctx, pod, &c.EnvFrom[i], e); err != nil {
			return nil, err
		}
	}
	lookup := func(name string) (string, bool) {
		if v, ok := e.values[name]; ok {
			return v, true
		}
		v, ok := services.values[name]
		return v, ok
	}
	for i := range c.Env {
		v := &c.Env[i]
		value := v.Value
		if value != "" {
			value = Expand(value, lookup)
		} else if v.ValueFrom != nil {
			var set bool
			if value, set, err = n.envValue(ctx, r, v.ValueFrom); err != nil {
				return nil, err
			} else if !set {
				continue
			}
		}
		e.set(v.Name, value)
	}
	for _, name := range services.order {
		if _, taken := e.values[name]; !taken {
			e.set(name, services.values[name])
		}
	}
	return e, nil
}

func (e *environment) cri() []*runtimeapi.KeyValue {
	out := make([]*runtimeapi.KeyValue, 0, len(e.order))
	for _, name := range e.order {
		out = append(out, &runtimeapi.KeyValue{Key: name, Value: []byte(e.values[name])})
	}
	return out
}

func (n *Node) envFrom(ctx context.Context, pod *corev1.Pod, from *corev1.EnvFromSource, e *environment) error {
	add := func(key, value string) {
		if name := from.Prefix + key; len(validation.IsRelaxedEnvVarName(name)) == 0 {
			e.set(name, value)
		}
	}
	switch {
	case from.ConfigMapRef != nil:
		cm, err := n.Objects.ConfigMap(ctx, pod.Namespace, from.ConfigMapRef.Name)
		if err != nil {
			return tolerate(err, from.ConfigMapRef.Optional)
		}
		for _, key := range sortedKeys(cm.Data) {
			add(key, cm.Data[key])
		}
	case from.SecretRef != nil:
		secret, err := n.Objects.Secret(ctx, pod.Namespace, from.SecretRef.Name)
		if err != nil {
			return tolerate(err, from.SecretRef.Optional)
		}
		for _, key := range sortedKeys(secret.Data) {
			add(key, string(secret.Data[key]))
		}
	}
	return nil
}

// tolerate drops the error for an optional object that is missing.
func tolerate(err error, optional *bool) error {
	if isTrue(optional) && apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// envValue resolves a reference; set is false for an optional one that leads
// nowhere.
func (n *Node) envValue(ctx context.Context, r Request, from *corev1.EnvVarSource) (value string, set bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = n.field(r.Pod, from.FieldRef.FieldPath, r.PodIPs)
		return value, true, err
	case from.ResourceFieldRef != nil:
		target := r.Container
		if name := from.ResourceFieldRef.ContainerName; name != "" && name != target.Name {
			if target = fieldpath.Container(r.Pod, name); target == nil {
				return "", false, fmt.Errorf("container %s not found", name)
			}
		}
		value, err = fieldpath.Resource(from.ResourceFieldRef, target, n.Allocatable())
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		return n.configMapValue(ctx, r.Pod.Namespace, from.ConfigMapKeyRef)
	case from.SecretKeyRef != nil:
		return n.secretValue(ctx, r.Pod.Namespace, from.SecretKeyRef)
	case from.FileKeyRef != nil:
		return n.fileValue(r, from.FileKeyRef)
	}
	return "", false, errors.New("environment variable has no source that this node knows")
}

func (n *Node) configMapValue(ctx context.Context, namespace string, ref *corev1.ConfigMapKeySelector) (value string, set bool, err error) {
	cm, err := n.Objects.ConfigMap(ctx, namespace, ref.Name)
	if err != nil {
		return "", false, tolerate(err, ref.Optional)
	}
	value, ok := cm.Data[ref.Key]
	if !ok && !isTrue(ref.Optional) {
		return "", false, fmt.Errorf("couldn't find key %v in ConfigMap %v/%v", ref.Key, namespace, ref.Name)
	}
	return value, ok, nil
}

func (n *Node) secretValue(ctx context.Context, namespace string, ref *corev1.SecretKeySelector) (value string, set bool, err error) {
	secret, err := n.Objects.Secret(ctx, namespace, ref.Name)
	if err != nil {
		return "", false, tolerate(err, ref.Optional)
	}
	data, ok := secret.Data[ref.Key]
	if !ok && !isTrue(ref.Optional) {
		return "", false, fmt.Errorf("couldn't find key %v in Secret %v/%v", ref.Key, namespace, ref.Name)
	}
	return string(data), ok, nil
}

// field reads a field of the pod that a variable may refer to.
func (n *Node) field(pod *corev1.Pod, path string, podIPs []string) (string, error) {
	switch path {
	case "spec.nodeName":
		return n.Name, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP", "spec.host":
		return n.IPs()[0].String(), nil
	case "status.hostIPs":
		return joinIPs(n.IPs()), nil
	case "status.podIP":
		if len(podIPs) == 0 {
			return "", nil
		}
		return podIPs[0], nil
	case "status.podIPs":
		return strings.Join(podIPs, ","), nil
	}
	return fieldpath.Metadata(pod, path)
}

func joinIPs(ips []netip.Addr) string {
	words := make([]string, len(ips))
	for i, ip := range ips {
		words[i] = ip.String()
	}
	return strings.Join(words, ",")
}
