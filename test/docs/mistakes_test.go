package docs

import (
	"strings"
	"testing"
)

// TestMistakes: what is wrong in an example is found.
func TestMistakes(t *testing.T) {
	c := newCluster(t)
	for _, tc := range []struct{ lang, text, want string }{
		{"sh", "skiff serve", "there is no command serve"},
		{"sh", "skiff images imports FILE", "there is no command imports"},
		{"sh", "sudo bin/skiff server --data-dri /x &", "has no flag --data-dri"},
		{"sh", "skiff server --https-port 0", "is not a port"},
		{"sh", "skiff agent --servers https://HOST:6443", "has no flag --servers"},
		{"sh", "skiff version --output xml", "xml"},
		{"sh", "skiff kubectl get podz", "podz"},
		{"sh", "kubectl rollout stat deployment/x", "unknown command"},
		{"sh", "kubectl rollout status deployment/x --timeouts 1s", "timeouts"},
		{"sh", "cd x && make bild", "no target bild"},
		{"sh", "scripts/missing", "is no script"},
		{"sh", "go test ./nowhere", "no package"},
		{"sh", "go test ./test/docs -run TestNothingOfThisName", "no test"},
		{"sh", "cat x | kubectl appply -f -", "appply"},
		{"sh", "kubectl create -f - <<E\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {}\nE", "containers"},
		{"yaml", "data-dri: /x", "data-dri"},
		{"yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndta: {}", "dta"},
		{"yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}", "spec.selector"},
		{"yaml prometheus", "a: [", "yaml"},
		{"json", "{", "unexpected end"},
		{"ini", "[Service]\nExecStart=/usr/local/bin/skiff servr", "servr"},
		{"rust", "fn main() {}", "cannot be executed"},
	} {
		err := c.execute(t, block{lang: tc.lang, text: tc.text, line: 1})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s %q: got %v, want something about %q", tc.lang, tc.text, err, tc.want)
		}
	}
	here := &page{path: "docs/x.md"}
	for _, text := range []string{"--data-dri", "SKIFF_DATA_DRI", "server/apis", "skiff chek now", "make bild"} {
		if err := c.exists(here, text); err == nil {
			t.Errorf("`%s` is said to exist", text)
		}
	}
	for _, text := range []string{"--data-dir", "SKIFF_DATA_DIR", "server/api", "./store/...", "skiff check", "make build", "/etc/skiff/config.yaml", "example.com/x"} {
		if err := c.exists(here, text); err != nil {
			t.Errorf("`%s`: %v", text, err)
		}
	}
}
