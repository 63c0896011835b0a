package kubedns_test

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"skiff/server/controller"
	"skiff/server/controller/controllertest"
	"skiff/server/controllers/kubedns"
)

func at(addresses ...string) controllertest.Build {
	var list []netip.Addr
	for _, a := range addresses {
		list = append(list, netip.MustParseAddr(a))
	}
	return func(e controllertest.Env) ([]controller.Controller, error) {
		return []controller.Controller{kubedns.New(e.Client, e.Informers, list)}, nil
	}
}

func TestScripts(t *testing.T) { controllertest.Script(t, at("10.43.0.10")) }

func TestFaults(t *testing.T) { controllertest.Faults(t, at("10.43.0.10"), 2, 3) }

func TestOff(t *testing.T) { controllertest.ScriptDir(t, "testdata/off", at()) }

func TestDualStack(t *testing.T) {
	controllertest.ScriptDir(t, "testdata/dual", at("10.43.0.10", "fd00:43::a"))
}

// TestCacheBehind: a service that was made just now is not told of as one that cannot
// be made, although its address is what the API server finds taken first.
func TestCacheBehind(t *testing.T) {
	for name, there := range map[string]string{"made": kubedns.Name, "taken by another": "other"} {
		client := fake.NewClientset(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: kubedns.Namespace, Name: there}})
		client.PrependReactor("create", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, kubedns.Name, nil)
		})
		c := kubedns.New(client, informers.NewSharedInformerFactory(client, 0), []netip.Addr{netip.MustParseAddr("10.43.0.10")})
		_, err := c.Reconciler.Reconcile(t.Context(), kubedns.Namespace+"/"+kubedns.Name)
		if (err == nil) != (there == kubedns.Name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
