package core_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/registry"
	"skiff/server/registry/core"
	"skiff/server/registry/networking"
	"skiff/store/storetest"
)

// world is a store with the core resources and the addresses of a small block.
type world struct {
	t   *testing.T
	reg *registry.Registry
}

func newWorld(t *testing.T, cidr string, d core.Deps) *world {
	t.Helper()
	d.Now = now
	d.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix(cidr)}
	d.NodePorts = core.PortRange{Base: 30000, Size: 4}
	resources := append(core.Resources(d), networking.IPAddresses())
	reg, err := registry.NewRegistry(storetest.NewMemory(t), now, resources...)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, reg: reg}
}

func (w *world) store(plural string) *registry.Store {
	w.t.Helper()
	s, ok := w.reg.Store(schema.GroupResource{Resource: plural})
	if !ok {
		w.t.Fatalf("no resource %s", plural)
	}
	return s
}

func (w *world) create(plural string, obj registry.Object) (registry.Object, error) {
	w.t.Helper()
	written, err := w.store(plural).Create(w.t.Context(), obj, registry.Hooks{}, false)
	return written.Object, err
}

func (w *world) mustCreate(plural string, obj registry.Object) registry.Object {
	w.t.Helper()
	created, err := w.create(plural, obj)
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

// replace puts obj over the one of its name as an update through sub does, "" for
// the resource itself.
func (w *world) replace(plural, sub string, obj registry.Object) (registry.Object, error) {
	w.t.Helper()
	s := w.store(plural)
	opts := registry.UpdateOptions{}
	for i := range s.Resource().Subresources {
		if s.Resource().Subresources[i].Name == sub {
			opts.Rules = s.Resource().Subresources[i].Update
		}
	}
	if f := s.Resource().Rules.Default; f != nil {
		f(obj)
	}
	written, err := s.Update(w.t.Context(), obj.GetNamespace(), obj.GetName(), func(context.Context, registry.Object) (registry.Object, error) {
		return obj.DeepCopyObject().(registry.Object), nil
	}, registry.Hooks{}, opts)
	return written.Object, err
}

func service(name string, spec corev1.ServiceSpec) *corev1.Service {
	if spec.Type != corev1.ServiceTypeExternalName && len(spec.Ports) == 0 {
		spec.Ports = []corev1.ServicePort{{Port: 80}}
	}
	if spec.Selector == nil {
		spec.Selector = map[string]string{"app": name}
	}
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: spec}
}

func (w *world) service(name string, spec corev1.ServiceSpec) *corev1.Service {
	w.t.Helper()
	return w.mustCreate("services", service(name, spec)).(*corev1.Service)
}

func TestServiceAddresses(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	s := w.service("a", corev1.ServiceSpec{})
	ip := netip.MustParseAddr(s.Spec.ClusterIP)
	if ip.Less(netip.MustParseAddr("10.96.1.0")) {
		t.Errorf("%v is in the part for those who ask", ip)
	}
	if got := s.Spec; len(got.ClusterIPs) != 1 || got.ClusterIPs[0] != got.ClusterIP || *got.IPFamilyPolicy != corev1.IPFamilyPolicySingleStack || got.IPFamilies[0] != corev1.IPv4Protocol {
		t.Errorf("got %+v", got)
	}
	addresses, _ := w.reg.Store(schema.GroupResource{Group: "networking.k8s.io", Resource: "ipaddresses"})
	if _, err := addresses.Get(t.Context(), "", s.Spec.ClusterIP); err != nil {
		t.Error("no IPAddress:", err)
	}

	w.service("b", corev1.ServiceSpec{ClusterIP: "10.96.0.10"})
	_, err := w.create("services", service("c", corev1.ServiceSpec{ClusterIP: "10.96.0.10"}))
	wantError(t, err, `Service "c" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated`)
	_, err = w.create("services", service("c", corev1.ServiceSpec{ClusterIP: "10.0.0.10"}))
	wantError(t, err, "the provided IP (10.0.0.10) is not in the valid range. The range of valid IPs is 10.96.0.0/12")

	if _, err := w.store("services").Delete(t.Context(), "default", "b", nil); err != nil {
		t.Fatal(err)
	}
	w.service("c", corev1.ServiceSpec{ClusterIP: "10.96.0.10"})
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("got error\n%v\nwant\n%s", err, text)
	}
}

func TestServiceAddressesRunOut(t *testing.T) {
	w := newWorld(t, "10.0.0.0/29", core.Deps{})
	for i := range 6 {
		w.service(string(rune('a'+i)), corev1.ServiceSpec{})
	}
	_, err := w.create("services", service("z", corev1.ServiceSpec{}))
	wantError(t, err, "range is full")
}

func TestServiceAddressesWithAnOwner(t *testing.T) {
	dns := netip.MustParseAddr("10.0.0.2")
	w := newWorld(t, "10.0.0.0/29", core.Deps{ServiceOwners: map[netip.Addr]types.NamespacedName{dns: {Namespace: "default", Name: "dns"}}})
	_, err := w.create("services", service("thief", corev1.ServiceSpec{ClusterIP: "10.0.0.2"}))
	wantError(t, err, `spec.clusterIPs: Invalid value: ["10.0.0.2"]: failed to allocate IP 10.0.0.2: the provided IP is kept for the service default/dns`)
	for i := range 5 {
		w.service(string(rune('a'+i)), corev1.ServiceSpec{})
	}
	_, err = w.create("services", service("z", corev1.ServiceSpec{}))
	wantError(t, err, "range is full")
	if _, err = w.replace("services", "", service("a", corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "a.example"})); err != nil {
		t.Fatal(err)
	}
	_, err = w.replace("services", "", service("a", corev1.ServiceSpec{ClusterIP: "10.0.0.2"}))
	wantError(t, err, "is kept for the service default/dns")
	w.service("dns", corev1.ServiceSpec{ClusterIP: "10.0.0.2"})
}

func TestNodePorts(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	port := func(nodePort int32) corev1.ServiceSpec {
		return corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Ports: []corev1.ServicePort{{Port: 80, NodePort: nodePort}}}
	}
	w.service("a", port(30001))
	_, err := w.create("services", service("b", port(30001)))
	wantError(t, err, `Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated`)
	_, err = w.create("services", service("b", port(80)))
	wantError(t, err, `spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-30003`)
	for _, name := range []string{"b", "c", "d"} {
		if got := w.service(name, port(0)).Spec.Ports[0].NodePort; got < 30000 || got > 30003 || got == 30001 {
			t.Errorf("%s got port %d", name, got)
		}
	}
	if _, err = w.create("services", service("e", port(0))); !apierrors.IsInternalError(err) {
		wantError(t, err, "range is full")
	}
}

func TestServiceKeepsWhatItGot(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	first := w.service("a", corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal})
	if first.Spec.HealthCheckNodePort == 0 || first.Spec.Ports[0].NodePort == 0 {
		t.Fatalf("got %+v", first.Spec)
	}
	obj, err := w.replace("services", "", service("a", corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal}))
	if err != nil {
		t.Fatal(err)
	}
	second := obj.(*corev1.Service)
	if second.Spec.ClusterIP != first.Spec.ClusterIP || second.Spec.HealthCheckNodePort != first.Spec.HealthCheckNodePort || second.Spec.Ports[0].NodePort != first.Spec.Ports[0].NodePort {
		t.Errorf("got %+v\nwant %+v", second.Spec, first.Spec)
	}
}

func TestServiceTypeTransitions(t *testing.T) {
	for _, from := range []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName} {
		for _, to := range []corev1.ServiceType{corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName} {
			t.Run(string(from+" to "+to), func(t *testing.T) {
				w := newWorld(t, "10.96.0.0/12", core.Deps{})
				w.service("a", specOf(from))
				obj, err := w.replace("services", "", service("a", specOf(to)))
				if err != nil {
					t.Fatal(err)
				}
				spec := obj.(*corev1.Service).Spec
				if hasIP := spec.ClusterIP != ""; hasIP != (to != corev1.ServiceTypeExternalName) {
					t.Errorf("address %q", spec.ClusterIP)
				}
				if to == corev1.ServiceTypeExternalName {
					return
				}
				if hasPort := spec.Ports[0].NodePort != 0; hasPort != (to != corev1.ServiceTypeClusterIP) {
					t.Errorf("node port %d", spec.Ports[0].NodePort)
				}
			})
		}
	}
}

func specOf(t corev1.ServiceType) corev1.ServiceSpec {
	if t == corev1.ServiceTypeExternalName {
		return corev1.ServiceSpec{Type: t, ExternalName: "example.com"}
	}
	return corev1.ServiceSpec{Type: t}
}

func TestClusterIPIsImmutable(t *testing.T) {
	w := newWorld(t, "10.96.0.0/12", core.Deps{})
	w.service("a", corev1.ServiceSpec{ClusterIP: "10.96.0.10"})
	_, err := w.replace("services", "", service("a", corev1.ServiceSpec{ClusterIP: "10.96.0.11"}))
	wantError(t, err, `spec.clusterIPs[0]: Invalid value: ["10.96.0.11"]: may not change once set`)
}
