package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"skiff/datadir"
	"skiff/server/pki"
)

// TestCheckCluster: parts that were lost, or are another cluster's, are refused
// before anything is made in their place.
func TestCheckCluster(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		err    string
	}{
		"all as it was": {func(*testing.T, string) {}, ""},
		"no identities": {func(t *testing.T, dir string) { remove(t, dir, "pki") }, "has lost the cluster's identities, restore "},
		"no state":      {func(t *testing.T, dir string) { remove(t, dir, "store") }, "has lost the cluster's state, restore "},
		"other identities": {func(t *testing.T, dir string) {
			remove(t, dir, "pki")
			openPKI(t, dir)
		}, "holds the identities of another cluster"},
		"damaged identities": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "pki", "server-ca.crt"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is damaged, restore it from a backup"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{DataDir: t.TempDir()}
			if err := os.Mkdir(c.storeDir(), 0o700); err != nil {
				t.Fatal(err)
			}
			m := datadir.Marker{Authority: openPKI(t, c.DataDir).Server.Hash()}
			tc.change(t, c.DataDir)
			err := c.checkCluster(m)
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
	c := Config{DataDir: t.TempDir()}
	if err := c.checkCluster(datadir.Marker{}); err != nil {
		t.Errorf("a new folder: %v", err)
	}
}

func openPKI(t *testing.T, dir string) *pki.PKI {
	t.Helper()
	p, err := pki.Open(pki.Config{Dir: filepath.Join(dir, "pki")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}
