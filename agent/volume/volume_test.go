package volume_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"skiff/agent/container"
	"skiff/agent/volume"
	"skiff/agent/volume/volumetest"
)

// source has the objects of the tests.
type source struct {
	configMaps map[string]*corev1.ConfigMap
	secrets    map[string]*corev1.Secret
}

func (s source) ConfigMap(_ context.Context, _, name string) (*corev1.ConfigMap, error) {
	if cm := s.configMaps[name]; cm != nil {
		return cm, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("configmap"), name)
}

func (s source) Secret(_ context.Context, _, name string) (*corev1.Secret, error) {
	if sec := s.secrets[name]; sec != nil {
		return sec, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secret"), name)
}

func (source) Track(*corev1.Pod)            {}
func (source) Untrack(types.UID)            {}
func (source) OnChange(func(p []types.UID)) {}
func (source) Close()                       {}

type tokens struct{}

func (tokens) CreateToken(_ context.Context, _, account string, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	out := req.DeepCopy()
	out.Status.Token = "token of " + account + " for " + strings.Join(req.Spec.Audiences, ",")
	return out, nil
}

type claims struct{}

func (claims) Claim(_ context.Context, ns, name string) (*corev1.PersistentVolumeClaim, error) {
	c := &corev1.PersistentVolumeClaim{Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}}
	switch name {
	case "bound":
		c.Spec.VolumeName, c.Status.Phase = "pv", corev1.ClaimBound
	case "pending":
	default:
		return nil, apierrors.NewNotFound(corev1.Resource("persistentvolumeclaims"), name)
	}
	return c, nil
}

func (claims) Volume(context.Context, string) (*corev1.PersistentVolume, error) {
	return &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: "/srv/data"}}}}, nil
}

func manager(t *testing.T, src source) (*volume.Manager, string, *volumetest.Mounter) {
	dir := t.TempDir()
	mounter := &volumetest.Mounter{}
	return volume.New(volume.Config{
		PodsDir: dir, Objects: src, Tokens: tokens{}, Claims: claims{}, Mounter: mounter, Log: slog.New(slog.DiscardHandler),
		Node: &container.Node{Name: "n1", IPs: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.1")} }, Allocatable: func() corev1.ResourceList {
			return corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceCPU: resource.MustParse("2")}
		}},
	}), dir, mounter
}

func podOf(t *testing.T, text string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: "u1", Labels: map[string]string{"app": "web"}}}
	if err := yaml.UnmarshalStrict([]byte(text), &pod.Spec); err != nil {
		t.Fatal(err)
	}
	return pod
}

// tree renders what a container sees of a volume: paths, modes and content.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	root := filepath.Join(dir, "..data") + string(filepath.Separator)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		if first, _, _ := strings.Cut(name, "/"); true {
			if _, err := os.Stat(filepath.Join(dir, first)); err != nil {
				t.Errorf("%s cannot be reached: %v", name, err)
			}
		}
		out = append(out, name+" "+info.Mode().String()+" "+string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestConfigVolumes(t *testing.T) {
	src := source{
		configMaps: map[string]*corev1.ConfigMap{"cm": {Data: map[string]string{"a": "1", "b": "2"}, BinaryData: map[string][]byte{"c": {0xff}}}},
		secrets:    map[string]*corev1.Secret{"s": {Data: map[string][]byte{"password": []byte("secret")}}},
	}
	for _, c := range []struct{ name, kind, volume, want string }{
		{"config map", "configmap", `configMap: {name: cm}`, "a -rw-r--r-- 1|b -rw-r--r-- 2|c -rw-r--r-- \xff"},
		{"chosen keys", "configmap", `configMap: {name: cm, defaultMode: 0600, items: [{key: a, path: dir/x}, {key: b, path: z, mode: 0400}]}`, "dir/x -rw------- 1|z -r-------- 2"},
		{"optional and missing", "configmap", `configMap: {name: none, optional: true}`, ""},
		{"secret", "secret", `secret: {secretName: s, defaultMode: 0400}`, "password -r-------- secret"},
		{"downward", "downward-api", `downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}]}`,
			`cpu -rw-r--r-- 2000|labels -rw-r--r-- app="web"`},
		{"projected", "projected", `projected: {sources: [{configMap: {name: cm, items: [{key: a, path: a}]}}, {secret: {name: s}}, {serviceAccountToken: {path: token, audience: vault}}, {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}`,
			"a -rw-r--r-- 1|name -rw-r--r-- p|password -rw-r--r-- secret|token -rw-r--r-- token of default for vault"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, dir, mounter := manager(t, src)
			pod := podOf(t, `{containers: [{name: main}], volumes: [{name: v, `+c.volume+`}]}`)
			for range 2 {
				if _, err := m.Set(t.Context(), pod, nil); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(dir, "u1/volumes/kubernetes.io~"+c.kind, "v")
			if got := strings.Join(tree(t, path), "|"); got != c.want {
				t.Errorf("content %q, want %q", got, c.want)
			}
			if v, err := m.Volume(pod, "v"); err != nil || v.Path != path || !v.ReadOnly {
				t.Errorf("Volume = %+v, %v", v, err)
			}
			if inMemory := len(mounter.Log) > 0; inMemory == (c.kind == "configmap") {
				t.Errorf("mounts %q", mounter.Log)
			}
			if err := m.Unset(pod.UID); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 0 {
				t.Errorf("Unset left %v", left)
			}
		})
	}
}

func TestConfigVolumeFollowsItsObject(t *testing.T) {
	src := source{configMaps: map[string]*corev1.ConfigMap{"cm": {Data: map[string]string{"old": "1", "same": "x"}}}}
	m, dir, _ := manager(t, src)
	pod := podOf(t, `{containers: [{name: main}], volumes: [{name: v, configMap: {name: cm}}]}`)
	path := filepath.Join(dir, "u1/volumes/kubernetes.io~configmap/v")
	set := func() string {
		t.Helper()
		if _, err := m.Set(t.Context(), pod, nil); err != nil {
			t.Fatal(err)
		}
		target, err := os.Readlink(filepath.Join(path, "..data"))
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	first := set()
	if again := set(); again != first {
		t.Errorf("unchanged content was written again: %s, %s", first, again)
	}
	src.configMaps["cm"] = &corev1.ConfigMap{Data: map[string]string{"new": "2", "same": "x"}}
	if second := set(); second == first {
		t.Error("changed content was not written")
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "..2") {
			names = append(names, e.Name())
		}
	}
	if want := []string{"..data", "new", "same"}; !slices.Equal(names, want) || len(entries) != 4 {
		t.Errorf("entries %q of %d, want %q and one directory", names, len(entries), want)
	}
}

func TestSetErrors(t *testing.T) {
	m, _, _ := manager(t, source{configMaps: map[string]*corev1.ConfigMap{"cm": {}}})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ volume, want string }{
		{`configMap: {name: none}`, `MountVolume.SetUp failed for volume "v" : configmap "none" not found`},
		{`secret: {secretName: none}`, `MountVolume.SetUp failed for volume "v" : secret "none" not found`},
		{`configMap: {name: cm, items: [{key: k, path: p}]}`, `MountVolume.SetUp failed for volume "v" : configmap references non-existent config key: k`},
		{`hostPath: {path: ` + file + `, type: Directory}`, `MountVolume.SetUp failed for volume "v" : hostPath type check failed: ` + file + ` is not a directory`},
		{`hostPath: {path: /nowhere/at/all, type: Socket}`, `MountVolume.SetUp failed for volume "v" : hostPath type check failed: /nowhere/at/all is not a socket file`},
		{`persistentVolumeClaim: {claimName: pending}`, `error processing PVC ns/pending: PVC is not bound`},
		{`persistentVolumeClaim: {claimName: none}`, `failed to fetch PVC from API server: persistentvolumeclaims "none" not found`},
		{`nfs: {server: s, path: /p}`, `no volume plugin matched`},
	} {
		_, err := m.Set(t.Context(), podOf(t, `{containers: [{name: main}], volumes: [{name: v, `+c.volume+`}]}`), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.volume, err, c.want)
		}
	}
	pod := podOf(t, `{containers: [{name: main}], volumes: [{name: v, persistentVolumeClaim: {claimName: bound}}]}`)
	if _, err := m.Set(t.Context(), pod, nil); err != nil {
		t.Fatal(err)
	}
	if v, err := m.Volume(pod, "v"); err != nil || v.Path != "/srv/data" {
		t.Errorf("a claim bound to a local directory: %+v, %v", v, err)
	}
}

func TestHostPathIsMadeWhereAsked(t *testing.T) {
	m, _, _ := manager(t, source{})
	dir := t.TempDir()
	pod := podOf(t, `{containers: [{name: main}], volumes: [{name: d, hostPath: {path: `+dir+`/a/b, type: DirectoryOrCreate}}, {name: f, hostPath: {path: `+dir+`/f, type: FileOrCreate}}]}`)
	for range 2 {
		if _, err := m.Set(t.Context(), pod, nil); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(dir + "/a/b"); err != nil || !info.IsDir() {
		t.Errorf("directory: %v, %v", info, err)
	}
	if info, err := os.Stat(dir + "/f"); err != nil || info.IsDir() {
		t.Errorf("file: %v, %v", info, err)
	}
	if err := m.Unset(pod.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/a/b"); err != nil {
		t.Error("the node's own directory went with the pod")
	}
}

func TestSubPathStaysInside(t *testing.T) {
	m, dir, mounter := manager(t, source{})
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	pod := podOf(t, `{containers: [{name: main}], volumes: [{name: v, emptyDir: {}}]}`)
	if _, err := m.Set(t.Context(), pod, nil); err != nil {
		t.Fatal(err)
	}
	v, err := m.Volume(pod, "v")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(v.Path); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("emptyDir %v, %v, want mode 0777", info, err)
	}
	if err := os.Symlink(outside, filepath.Join(v.Path, "escape")); err != nil {
		t.Fatal(err)
	}
	target, err := m.SubPath(pod, v, "v", "main", 0, "new/dir")
	if err != nil || target != filepath.Join(dir, "u1/volume-subpaths/v/main/0") {
		t.Fatalf("SubPath = %q, %v", target, err)
	}
	if info, err := os.Stat(filepath.Join(v.Path, "new/dir")); err != nil || !info.IsDir() {
		t.Errorf("the directory was not made: %v", err)
	}
	if len(mounter.Log) != 1 || !strings.HasPrefix(mounter.Log[0], "mount bind 0") {
		t.Errorf("mounts %q", mounter.Log)
	}
	for _, sub := range []string{"../../etc", "/etc", "new/../../../x"} {
		if target, err := m.SubPath(pod, v, "v", "main", 1, sub); err == nil {
			t.Errorf("SubPath(%q) = %q, want an error", sub, target)
		}
	}
	// A link is followed as inside of the volume: what it leads to outside cannot
	// be reached.
	if target, err := m.SubPath(pod, v, "v", "main", 2, "escape/secret"); err == nil {
		t.Errorf("SubPath through a link out of the volume = %q, want an error", target)
	}
	if _, err := os.Stat(filepath.Join(outside, "new")); err == nil {
		t.Error("something was made outside of the volume")
	}
}

func TestUnsetKeepsFilesUnderAMountThatStays(t *testing.T) {
	m, dir, mounter := manager(t, source{})
	pod := podOf(t, `{containers: [{name: main}], volumes: [{name: v, emptyDir: {medium: Memory}}]}`)
	if _, err := m.Set(t.Context(), pod, nil); err != nil {
		t.Fatal(err)
	}
	mounter.Stuck = true
	if err := m.Unset(pod.UID); err == nil || !strings.Contains(err.Error(), "still mounted") {
		t.Errorf("Unset with a mount that cannot be undone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "u1")); err != nil {
		t.Error("files were removed through a mount")
	}
}
