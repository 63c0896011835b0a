package cli

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"cluster-cidr", "cluster-dns", "data-dir", "disable", "disable-agent"}
	for name, want := range map[string]string{
		"clustr-cidr":  "cluster-cidr",
		"cluster-cdir": "cluster-cidr",
		"datadir":      "data-dir",
		"disabled":     "disable",
		"cluster-dns":  "cluster-dns",
		"zzz":          "",
		"":             "",
	} {
		if got, ok := nearest(name, candidates); got != want || ok != (want != "") {
			t.Errorf("nearest(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"server", "sever", 1}, {"ab", "ba", 2}} {
		if got := editDistance(tc.a, tc.b); got != tc.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
	}
}
