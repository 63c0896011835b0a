package pki

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func TestKubeconfig(t *testing.T) {
	p, clk := openAt(t, t.TempDir(), release)
	path := filepath.Join(t.TempDir(), "etc", "kubeconfig.yaml")
	admin := certificate(t, p, Admin())
	server := "https://127.0.0.1:6443"
	file := p.KubeconfigFile(path, func() string { return server }, admin)
	if err := file.Write(); err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	cur, _ := admin.Get()
	chain, key, _ := encodePair(cur)
	if cfg.Host != "https://127.0.0.1:6443" || string(cfg.CAData) != string(p.Server.PEM) || string(cfg.CertData) != string(chain) || string(cfg.KeyData) != string(key) {
		t.Errorf("clients read %+v", cfg)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", before.Mode().Perm())
	}
	if err := file.Write(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(path); !os.SameFile(before, after) {
		t.Error("written although nothing changed")
	}
	server = "https://192.0.2.7:6443"
	if err := file.Write(); err != nil {
		t.Fatal(err)
	}
	if moved, err := clientcmd.BuildConfigFromFlags("", path); err != nil || moved.Host != server {
		t.Errorf("the server's new address did not reach the file: %v, %v", moved, err)
	}
	clk.Step(DefaultLifetime + time.Hour)
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	renewed, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if string(renewed.CertData) == string(cfg.CertData) {
		t.Error("the renewed certificate did not reach the file")
	}
}
