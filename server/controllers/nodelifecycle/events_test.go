package nodelifecycle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"
)

func TestComingAndGoingAreEvents(t *testing.T) {
	events := record.NewFakeRecorder(10)
	r := &reconciler{events: events, seen: map[string]heartbeat{}}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	ignore := func(string) {}
	r.onNode(nil, n, ignore)
	r.onNode(n, n, ignore)
	r.onNode(n, nil, ignore)
	for _, want := range []string{
		"Normal RegisteredNode Node n1 event: Registered Node n1 in Controller",
		"Normal RemovingNode Node n1 event: Removing Node n1 from Controller",
	} {
		if got := <-events.Events; got != want {
			t.Errorf("event %q, want %q", got, want)
		}
	}
	if len(events.Events) > 0 {
		t.Errorf("one more event: %q", <-events.Events)
	}
}
