package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestPack(t *testing.T) {
	dir := t.TempDir()
	program, out := filepath.Join(dir, "web"), filepath.Join(dir, "web.tar")
	if err := os.WriteFile(program, []byte("the program"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := pack(out, "skiff.example/web:v1", "VERSION=v1", "riscv64", program); err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"the program", `"/bin/web"`, `"skiff.example/web:v1"`, `"VERSION=v1"`, `"riscv64"`, `"65532:65532"`} {
		if !bytes.Contains(archive, []byte(want)) {
			t.Errorf("the archive does not hold %s", want)
		}
	}
}

func TestPackMissingProgram(t *testing.T) {
	out := filepath.Join(t.TempDir(), "x.tar")
	if err := pack(out, "a:b", "", "amd64", out+".missing"); !os.IsNotExist(err) {
		t.Errorf("got %v, want that the program does not exist", err)
	}
	if _, err := os.Stat(out); !os.IsNotExist(err) {
		t.Errorf("an archive was left: %v", err)
	}
}
