package events_test

import (
	"log/slog"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/controller/controllertest"
	"skiff/server/controller/events"
)

func TestRecorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := controllertest.NewEnv(t)
		sink := events.NewSink(e.Client, e.Clock, slog.New(slog.DiscardHandler))
		rec := sink.Recorder("test-controller")
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u"}}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		for range 5 {
			rec.Eventf(pod, corev1.EventTypeWarning, "Failed", "try %s", "again")
			synctest.Wait()
		}
		rec.Event(node, corev1.EventTypeNormal, "Ready", "is ready")
		// One object can't flood the API: 25 at first, then one every five minutes.
		for range 100 {
			rec.Eventf(node, corev1.EventTypeNormal, "Spam", "spam")
		}
		synctest.Wait()
		sink.Close()

		list, err := e.Client.CoreV1().Events("ns").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(list.Items) != 1 {
			t.Fatalf("%d events, %v; want equal ones in one", len(list.Items), err)
		}
		got := list.Items[0]
		if got.Count != 5 || got.Message != "try again" || got.Source.Component != "test-controller" || got.InvolvedObject.Kind != "Pod" || got.InvolvedObject.UID != "u" {
			t.Errorf("got %+v", got)
		}
		list, err = e.Client.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var n int32
		for _, ev := range list.Items {
			n += ev.Count
		}
		if n == 0 || n > 26 {
			t.Errorf("%d events about one object got through", n)
		}
		rec.Event(pod, corev1.EventTypeNormal, "Late", "after close") // must not block or panic
	})
}
