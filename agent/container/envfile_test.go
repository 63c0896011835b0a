package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestParseVariable(t *testing.T) {
	const good = "# a comment\n\n  A='one'\nB='two # words' # and a comment\nC='first\nsecond = line'\nD= 'not this'\nE=''\n\tF='tab'\n"
	for key, want := range map[string]string{"A": "one", "B": "two # words", "C": "first\nsecond = line", "D": "", "E": "", "F": "tab", "NONE": ""} {
		if got, err := parseVariable(strings.NewReader(good), key); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", key, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"A":                  "line 1: missing '='",
		"\n='x'":             "line 2: empty variable name",
		"A ='x'":             "line 1: whitespace before '=' is not allowed",
		"A=x":                "line 1: value must be enclosed in single quotes",
		"A=":                 "line 1: value must be enclosed in single quotes",
		"A='x' y":            "line 1: unexpected content after closing quote",
		"\nA='one\ntwo\n\n3": "line 2: unclosed single quote",
	} {
		if got, err := parseVariable(strings.NewReader(text), "B"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
}

// oneVolume is a directory that every volume is.
type oneVolume struct {
	noVolumes
	dir string
}

func (v oneVolume) Volume(*corev1.Pod, string) (Volume, error) { return Volume{Path: v.dir}, nil }

func TestVariablesFromFiles(t *testing.T) {
	dir, n := t.TempDir(), testNode(t)
	if err := os.WriteFile(filepath.Join(dir, "vars"), []byte("A='of a file'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "escape")); err != nil {
		t.Fatal(err)
	}
	yes := true
	for _, c := range []struct {
		path, key string
		optional  *bool
		want, err string
	}{
		{path: "vars", key: "A", want: "of a file"},
		{path: "vars", key: "B", optional: &yes},
		{path: "vars", key: "B", err: `environment variable key "B" not found in file "vars"`},
		{path: "none", key: "A", optional: &yes},
		{path: "none", key: "A", err: "couldn't parse env file"},
		{path: "escape", key: "A", optional: &yes, err: "couldn't parse env file"},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Env: []corev1.EnvVar{
			{Name: "X", ValueFrom: &corev1.EnvVarSource{FileKeyRef: &corev1.FileKeySelector{VolumeName: "v", Path: c.path, Key: c.key, Optional: c.optional}}},
			{Name: "Y", Value: "<$(X)>"},
		}}}}}
		pod.UID = "u1"
		cfg, err := n.Container(t.Context(), Request{Pod: pod, Container: &pod.Spec.Containers[0], Image: &runtimeapi.Image{Id: "sha256:1"}, Volumes: oneVolume{dir: dir}})
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s of %s: %v, want %q", c.key, c.path, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s of %s: %v", c.key, c.path, err)
			continue
		}
		env := map[string]string{}
		for _, kv := range cfg.Envs {
			env[kv.Key] = string(kv.Value)
		}
		if x, set := env["X"]; x != c.want || set != (c.want != "") || set && env["Y"] != "<"+c.want+">" {
			t.Errorf("%s of %s: X = %q, Y = %q", c.key, c.path, x, env["Y"])
		}
	}
}
