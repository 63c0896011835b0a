package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// refuseAll are webhooks that nobody serves, and that every write must pass.
const refuseAll = `
apiVersion: admissionregistration.k8s.io/v1
kind: %[1]sWebhookConfiguration
metadata: {name: gone}
webhooks:
  - name: gone.example.com
    clientConfig: {url: "https://127.0.0.1:1/"}
    rules: [{operations: ["*"], apiGroups: ["*"], apiVersions: ["*"], resources: ["*/*"]}]
    sideEffects: None
    admissionReviewVersions: [v1]
`

// TestStartWithoutWebhooks starts a server whose webhooks refuse every write: it
// serves, so that they can be removed, and then goes on as if they had never been.
func TestStartWithoutWebhooks(t *testing.T) {
	t.Parallel()
	h := host.New(t, host.Config{})
	h.Start()
	// One of the writes of the next start.
	h.Skiff("token", "delete", strings.Split(h.Token(), ".")[2])
	for _, kind := range []string{"Mutating", "Validating"} {
		file := filepath.Join(h.Dir, kind+".yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, refuseAll, kind), 0o600); err != nil {
			t.Fatal(err)
		}
		h.Kubectl("create", "-f", file)
	}
	eventually(t, "a write is refused", func() error {
		if r := h.Run("kubectl", "create", "namespace", "shop"); !strings.Contains(r.Stderr, "failed calling webhook") {
			return fmt.Errorf("%d %s", r.Code, r.Stderr)
		}
		return nil
	})
	h.Stop()
	h.Launch()
	for _, kind := range []string{"mutating", "validating"} {
		eventually(t, kind+" webhooks are removed", func() error {
			if r := h.Run("kubectl", "delete", kind+"webhookconfiguration", "gone"); r.Code != 0 {
				return fmt.Errorf("%s", r.Stderr)
			}
			return nil
		})
	}
	h.AwaitReady()
	h.Kubectl("create", "namespace", "shop")
}
