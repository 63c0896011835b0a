package controllertest

import (
	"fmt"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// kubelet plays scheduler and agents: while it is on, new pods are bound to a
// node and become ready, and deleted ones go.
type kubelet struct {
	s    *session
	mu   sync.Mutex
	on   bool
	ips  int
	kick chan struct{}
	quit chan struct{}
	wg   sync.WaitGroup
}

func newKubelet(s *session) *kubelet {
	k := &kubelet{s: s, kick: make(chan struct{}, 1), quit: make(chan struct{})}
	k.wg.Go(k.run)
	return k
}

func (k *kubelet) stop() {
	close(k.quit)
	k.wg.Wait()
}

func (k *kubelet) set(on bool) {
	k.mu.Lock()
	k.on = on
	k.mu.Unlock()
	k.kick <- struct{}{}
	synctest.Wait()
}

func (k *kubelet) run() {
	for {
		k.s.api.mu.Lock()
		changed := k.s.api.changed
		k.s.api.mu.Unlock()
		k.mu.Lock()
		on := k.on
		k.mu.Unlock()
		if on {
			k.pass()
		}
		select {
		case <-changed:
		case <-k.kick:
		case <-k.quit:
			return
		}
	}
}

func (k *kubelet) pass() {
	for _, p := range k.s.api.Dump("pods") {
		key := p.GetNamespace() + "/" + p.GetName()
		phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
		node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName")
		switch {
		case p.GetDeletionTimestamp() != nil:
			if g := p.GetDeletionGracePeriodSeconds(); g != nil && *g > 0 {
				if phase == "Running" || phase == "Pending" {
					k.status(key, `{"status":{"phase":"Failed"}}`)
				}
				_ = k.s.call("delete", "pods", key, "", `{"gracePeriodSeconds":0}`)
			}
		case phase == "Pending" && broken(p.GetLabels()):
		case phase == "Pending":
			if node == "" {
				_ = k.s.call("patch", "pods", key, "", fmt.Sprintf(`{"spec":{"nodeName":%q}}`, pinned(p)))
			}
			k.ips++
			now := time.Now().UTC().Format(time.RFC3339)
			k.status(key, fmt.Sprintf(`{"status":{"phase":"Running","podIP":"10.1.0.%d","podIPs":[{"ip":"10.1.0.%d"}],"startTime":%q,"conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, k.ips%250, k.ips%250, now, now))
		}
	}
}

// pinned returns the node that a daemon pod is made for; others share one.
func pinned(p *object) string {
	if n := cell(p, ".spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].values[0]"); p.Object["spec"].(map[string]any)["affinity"] != nil {
		return n
	}
	return "node-1"
}

// broken pods never become ready.
func broken(labels map[string]string) bool { return labels["test"] == "broken" }

func (k *kubelet) status(key, patch string) {
	_ = k.s.call("patch", "pods/status", key, "", patch)
}

// finish ends a pod's containers; key may be a prefix of its name, then the first
// such pod that runs is meant.
func (k *kubelet) finish(key, code string) error {
	for _, p := range k.s.api.Dump("pods") {
		name := p.GetNamespace() + "/" + p.GetName()
		phase, _, _ := unstructured.NestedString(p.Object, "status", "phase")
		if !strings.HasPrefix(name, key) || phase == "Succeeded" || phase == "Failed" {
			continue
		}
		phase = "Succeeded"
		if code != "0" {
			phase = "Failed"
		}
		now := time.Now().UTC().Format(time.RFC3339)
		k.status(name, fmt.Sprintf(`{"status":{"phase":%q,"conditions":[{"type":"Ready","status":"False","lastTransitionTime":%q}],"containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":%s,"startedAt":%q,"finishedAt":%q}}}]}}`, phase, now, code, now, now))
		return nil
	}
	return fmt.Errorf("no running pod %s", key)
}
