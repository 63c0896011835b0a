package core

import (
	"context"
	"net/netip"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"skiff/server/registry"
)

// Deps are what the core resources need of the server around them.
type Deps struct {
	// ServiceCIDRs are the blocks of the services' addresses, one or two, of
	// different families; the first is the cluster's primary family.
	ServiceCIDRs []netip.Prefix
	// ServiceOwners are service addresses that only the service so named may have,
	// whether it is there yet or not.
	ServiceOwners map[netip.Addr]types.NamespacedName
	// NodePorts is the range of ports that services may take on every node; the
	// zero value is 30000-32767.
	NodePorts PortRange
	// Nodes reaches nodes and pods. Nil refuses what leads to them.
	Nodes NodeConn
	// Token answers serviceaccounts/token; nil leaves that subresource out.
	Token func(ctx context.Context, s registry.Objects, namespace, name string, obj runtime.Object, opts *metav1.CreateOptions) (runtime.Object, error)
	// Authorizer is asked for the verb create before exec, attach and
	// portforward: a WebSocket is opened with a GET. Nil allows.
	Authorizer authorizer.Authorizer
	// Now is the present; nil is time.Now.
	Now func() time.Time
	// EventTTL is how long events are kept; 0 is an hour.
	EventTTL time.Duration
	// Objects returns the store of a resource, once there is one; nil leaves
	// bindings out, the old name of pods/binding.
	Objects func(schema.GroupResource) (registry.Objects, bool)
}

// PortRange is a range of ports.
type PortRange struct {
	Base, Size int
}

// Resources returns the resources of the core group.
func Resources(d Deps) []*registry.Resource {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.NodePorts.Size == 0 {
		d.NodePorts = PortRange{Base: 30000, Size: 2768}
	}
	if d.EventTTL == 0 {
		d.EventTTL = time.Hour
	}
	list := []*registry.Resource{
		configMaps(),
		endpoints(),
		Events(d.EventTTL),
		limitRanges(),
		namespaces(),
		nodes(d),
		persistentVolumeClaims(),
		persistentVolumes(d),
		pods(d),
		podTemplates(),
		replicationControllers(),
		resourceQuotas(),
		secrets(),
		serviceAccounts(d),
		services(d),
	}
	if d.Objects != nil {
		list = append(list, d.bindings())
	}
	return list
}

// ptr is a pointer to T that is an API object.
type ptr[T any] interface {
	*T
	runtime.Object
}

// resourceOf is a namespaced resource of the core group with its object and list
// types.
func resourceOf[T, L any, PT ptr[T], PL ptr[L]](plural, kind string, short ...string) *registry.Resource {
	return &registry.Resource{
		Plural:     plural,
		Singular:   strings.ToLower(kind),
		ShortNames: short,
		Kind:       kind,
		Namespaced: true,
		Versions:   []registry.Version{{Name: "v1", New: registry.New[T, PT](), NewList: registry.New[L, PL]()}},
		Rules:      registry.Rules{AllowUnconditionalUpdate: true},
	}
}

// path is a field path from the root of an object.
func path(first string, more ...string) *field.Path { return field.NewPath(first, more...) }

func isTrue(b *bool) bool { return b != nil && *b }
