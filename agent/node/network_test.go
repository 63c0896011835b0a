package node

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/agent"
	"skiff/proxy/overlay"
)

func TestPublishKey(t *testing.T) {
	there := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a", Annotations: map[string]string{"other": "stays"}}}
	client := fake.NewClientset(there)
	n := &Node{cfg: Config{Agent: agent.Config{NodeName: "a"}}, deps: agent.Deps{Client: client}}
	if err := n.publishKey(t.Context(), "KEY"); err != nil {
		t.Fatal(err)
	}
	got, err := client.CoreV1().Nodes().Get(t.Context(), "a", metav1.GetOptions{})
	if err != nil || got.Annotations[overlay.KeyAnnotation] != "KEY" || got.Annotations["other"] != "stays" {
		t.Errorf("annotations are %v, %v", got.Annotations, err)
	}
}

func TestNetwork(t *testing.T) {
	var written []string
	found, foundErr := 1450, error(nil)
	n := &network{
		config: func(blocks []netip.Prefix, mtu int) error {
			written = append(written, fmt.Sprint(blocks, mtu))
			return nil
		},
		find: func([]netip.Prefix) (int, error) { return found, foundErr },
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	must(n.setMTU(1400)) // nothing is written without a block
	must(n.setBlocks([]string{"10.42.0.0/24"}))
	must(n.setMTU(1350))
	foundErr = &overlay.MTUError{} // one that does not fit: with what does
	must(n.setBlocks([]string{"10.42.1.0/24", "fd00::/64"}))
	if want := []string{"[10.42.0.0/24] 1450", "[10.42.0.0/24] 1350", "[10.42.1.0/24 fd00::/64] 1450"}; !slices.Equal(written, want) {
		t.Errorf("written: %q, want %q", written, want)
	}
	for what, set := range map[string]func(){
		"no MTU at all": func() { found, foundErr = 0, &overlay.MTUError{} },
		"no netlink":    func() { found, foundErr = 0, errors.New("no permission") },
	} {
		set()
		if err := n.setBlocks([]string{"10.42.0.0/24"}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	if err := n.setBlocks([]string{"10.42"}); err == nil || len(written) != 3 {
		t.Errorf("a wrong block: %v; written %q", err, written)
	}
}
