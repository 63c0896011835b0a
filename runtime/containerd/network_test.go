package containerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestExplainNetwork: a configuration that does not work is told of with its file,
// in one line; one that does, or is not there yet, changes nothing.
func TestExplainNetwork(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "there"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	const good = `{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "there"}]}`
	for name, tc := range map[string]struct {
		files map[string]string
		want  string // "" if nothing is wrong
	}{
		"none yet":             {nil, ""},
		"good":                 {map[string]string{"10-good.conflist": good}, ""},
		"one plugin":           {map[string]string{"10-old.conf": `{"cniVersion": "0.2.0", "name": "n", "type": "there"}`}, ""},
		"broken after good":    {map[string]string{"10-good.conflist": good, "20-broken.conflist": "{"}, ""},
		"not a configuration":  {map[string]string{"10-good.conflist": good, "05-readme.txt": "{"}, ""},
		"broken before good":   {map[string]string{"10-good.conflist": good, "05-broken.conflist": "{\n"}, "05-broken.conflist is broken: mend or remove it (error parsing configuration list: unexpected end of JSON input)"},
		"broken single":        {map[string]string{"05-broken.conf": "[]"}, "05-broken.conf is broken: "},
		"without a type":       {map[string]string{"05-broken.json": `{"name": "n"}`}, "05-broken.json is broken: "},
		"plugin that is gone":  {map[string]string{"05-other.conflist": strings.Replace(good, "there", "other", 1)}, `05-other.conflist needs the plugin "other", which is not in ` + bin + " or /nowhere: put it there, or remove the file"},
		"a plugin as a folder": {map[string]string{"05-other.conf": `{"cniVersion": "0.2.0", "name": "n", "type": "../there"}`}, "05-other.conf needs the plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := t.TempDir()
			for file, text := range tc.files {
				if err := os.WriteFile(filepath.Join(conf, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			network := &runtimeapi.RuntimeCondition{Type: runtimeapi.NetworkReady, Status: true}
			runtime := &runtimeapi.RuntimeCondition{Type: runtimeapi.RuntimeReady, Status: true}
			explainNetwork(&runtimeapi.RuntimeStatus{Conditions: []*runtimeapi.RuntimeCondition{runtime, network}}, conf, []string{bin, "/nowhere"})
			if network.Status != (tc.want == "") || !strings.Contains(network.Message, tc.want) || strings.Contains(network.Message, "\n") {
				t.Errorf("ready %v, %q, want %q", network.Status, network.Message, tc.want)
			}
			if !runtime.Status {
				t.Error("the runtime is not ready either")
			}
		})
	}
}
