package client_test

import (
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"skiff/server/client"
)

// TestConfigMapInformer asks for one config map, and for no other.
func TestConfigMapInformer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "one"}})
		informer := client.ConfigMapInformer(clients, "ns", "one")
		go informer.RunWithContext(t.Context())
		synctest.Wait()
		if _, ok, err := informer.GetIndexer().GetByKey("ns/one"); !ok || err != nil {
			t.Errorf("the config map is there: %v, %v", ok, err)
		}
		watched := 0
		for _, a := range clients.Actions() {
			what := a.GetResource().Resource + " of " + a.GetNamespace()
			switch a := a.(type) {
			case clienttesting.ListActionImpl:
				what += ": " + a.ListRestrictions.Fields.String()
			case clienttesting.WatchActionImpl:
				watched++
				what += ": " + a.WatchRestrictions.Fields.String()
			}
			if what != "configmaps of ns: metadata.name=one" {
				t.Errorf("asked for %s", what)
			}
		}
		if watched == 0 {
			t.Error("nothing is watched")
		}
	})
}
