package nft

import (
	"os/exec"
	"strings"
	"testing"

	"skiff/proxy/service"
)

// TestTool: who looks at the box's rules with the nft tool sees these as well; a type
// that the kernel takes and the tool does not know ends it, whatever it was to list.
func TestTool(t *testing.T) {
	nft, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("there is no nft, scripts/deps --peers installs it")
	}
	inNamespace(t)
	newTable(t, service.Rules{frontend("10.43.0.1:80", service.TCP): backend("10.42.0.5:8080", "10.42.0.6:8080")})
	out, err := exec.Command(nft, "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft list ruleset: %v\n%s", err, out)
	}
	for _, want := range []string{"10.43.0.1 . tcp . 80 . 0x00000001 : 10.42.0.6 . 8080", "dnat ip to"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("nft shows no %q:\n%s", want, out)
		}
	}
}
