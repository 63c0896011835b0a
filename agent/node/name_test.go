package node

import (
	"strings"
	"testing"
)

func TestNameIn(t *testing.T) {
	host, err := HostName()
	if err != nil {
		t.Skip(err)
	}
	for name, tc := range map[string]struct {
		had, given, want, err string
	}{
		"first start, named":        {"", "box", "box", ""},
		"first start":               {"", "", host, ""},
		"the host name has changed": {"old", "", "old", ""},
		"the same":                  {"box", "box", "box", ""},
		"another one":               {"box", "cat", "", `belongs to node "box", start it with --node-name box`},
	} {
		got, err := NameIn("/data", tc.had, tc.given)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v", name, err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
		}
	}
}
