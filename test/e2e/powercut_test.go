package e2e

import (
	"path/filepath"
	"testing"

	"skiff/test/e2e/host"
)

// TestPowerCut takes the power from a running box: what ran runs again, what had
// ended has, and the disks of pods hold what was written.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	h.Start()
	importBox(t, h)
	manifest := filepath.Join(h.Dir, "pods.yaml")
	write(t, manifest, powerCutPods)
	h.Kubectl("apply", "-f", manifest)
	h.Kubectl("expose", "pod", "web", "--port=80", "--target-port=8080")
	h.Kubectl("wait", "--for=condition=Ready", "pod/web", "pod/once", "--timeout=60s")
	h.Kubectl("wait", "--for=condition=Complete", "job/done", "--timeout=60s")
	h.Kubectl("exec", "web", "--", "sh", "-c", "echo kept >/data/file; sync")

	h.PowerCut()
	h.Start()
	h.Kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/web", "--timeout=60s")
	h.Kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
	if got := h.Kubectl("exec", "web", "--", "cat", "/data/file"); got != "kept\n" {
		t.Errorf("the pod's folder holds %q", got)
	}
	askFromPod(t, h, h.Kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")+":80")
	h.Kubectl("wait", "--for=jsonpath={.status.phase}=Failed", "pod/once", "--timeout=60s")
	if got := h.Kubectl("get", "job", "done", "-o", "jsonpath={.status.succeeded} {.status.failed}"); got != "1 " {
		t.Errorf("a job that was done has now succeeded, failed: %q", got)
	}
	h.Kubectl("delete", "pod", "web", "once", "--timeout=60s")
}

const powerCutPods = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  volumes: [{name: data, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}]
  containers:
    - name: box
      image: skiff.test/box:v1
      command: [probe, serve]
      volumeMounts: [{name: data, mountPath: /data}, {name: memory, mountPath: /memory}]
---
apiVersion: v1
kind: Pod
metadata: {name: once}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
    - {name: box, image: "skiff.test/box:v1", command: [sleep, "1000"]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: done}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: box, image: "skiff.test/box:v1", command: ["true"]}
`
