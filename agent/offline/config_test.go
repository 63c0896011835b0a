package offline

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/agent/objects"
	"skiff/agent/pod"
	"skiff/agent/volume"
)

func needy(name string) *corev1.Pod {
	p, class := newPod(name), "fast"
	p.Spec.RuntimeClassName = &class
	p.Spec.Containers = []corev1.Container{{EnvFrom: []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "optional"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "secret"}}},
	}}}
	p.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "claim"}}}}
	return p
}

// needs is a server that has what needy pods need.
func newNeeds() *server {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), ResourceVersion: "1"}
	}
	return newServer(needy("a"),
		&corev1.ConfigMap{ObjectMeta: meta("cm"), Data: map[string]string{"k": "v"}},
		&corev1.Secret{ObjectMeta: meta("secret"), Data: map[string][]byte{"k": []byte("much too secret for a disk")}},
		&corev1.PersistentVolumeClaim{ObjectMeta: meta("claim"), Spec: corev1.PersistentVolumeClaimSpec{VolumeName: "pv"}},
		&corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pv"}},
		&nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}, Handler: "crun"},
	)
}

// tokens gives out a new token each time, as long as the server answers.
type tokens struct {
	s *server
	n int
}

func (k *tokens) CreateToken(_ context.Context, _, _ string, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if k.s.why != nil {
		return nil, k.s.why
	}
	k.n++
	resp := req.DeepCopy()
	resp.Status.Token = []string{"", "first token", "second token"}[k.n]
	return resp, nil
}

// pieces is what a pod reads one by one, as an agent does.
type pieces struct {
	source *objects.Watched
	tokens volume.Tokens
	claims volume.Claims
	class  pod.RuntimeClasses
	told   int
}

func (b *box) pieces(s *server, k *tokens) *pieces {
	p := &pieces{
		source: objects.NewWatched(s, b.store, slog.New(slog.DiscardHandler)), tokens: b.store.Tokens(k),
		claims: b.store.Claims(volume.ClientClaims(s)), class: b.store.RuntimeClasses(pod.ClientRuntimeClasses(s)),
	}
	p.source.OnChange(func([]types.UID) { p.told++ })
	b.t.Cleanup(p.source.Close)
	return p
}

func request(p *corev1.Pod) *authenticationv1.TokenRequest {
	hour := int64(3600)
	return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &hour, BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", Name: p.Name, UID: p.UID},
	}}
}

// expect reads everything.
func (p *pieces) expect(t *testing.T, value, token string, life int64) {
	t.Helper()
	ctx := t.Context()
	cm, err := p.source.ConfigMap(ctx, "ns", "cm")
	if err != nil || cm.Data["k"] != value {
		t.Errorf("config map %v, %v, want %s", cm, err, value)
	}
	if _, err := p.source.ConfigMap(ctx, "ns", "optional"); !apierrors.IsNotFound(err) {
		t.Errorf("what does not exist: %v", err)
	}
	secret, err := p.source.Secret(ctx, "ns", "secret")
	if err != nil || string(secret.Data["k"]) != "much too secret for a disk" {
		t.Errorf("secret %v, %v", secret, err)
	}
	got, err := p.tokens.CreateToken(ctx, "ns", "default", request(needy("a")))
	if err != nil || got.Status.Token != token || *got.Spec.ExpirationSeconds != life {
		t.Errorf("token %v, %v, want %s for %d s", got, err, token, life)
	}
	claim, err := p.claims.Claim(ctx, "ns", "claim")
	if err != nil || claim.Spec.VolumeName != "pv" {
		t.Errorf("claim %v, %v", claim, err)
	}
	if v, err := p.claims.Volume(ctx, "pv"); err != nil || v.Name != "pv" {
		t.Errorf("volume %v, %v", v, err)
	}
	if c, err := p.class.RuntimeClass(ctx, "fast"); err != nil || c.Handler != "crun" {
		t.Errorf("runtime class %v, %v", c, err)
	}
}

func TestWhatPodsNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := newBox(t), newNeeds()
		k := &tokens{s: s}
		b.start(s)
		p := b.pieces(s, k)
		p.source.Track(needy("a"))
		synctest.Wait()
		p.expect(t, "v", "first token", 3600)
		p.source.Close()
		b.stop()
		data, err := os.ReadFile(filepath.Join(b.dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"much too secret", "first token"} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%q is on the disk", secret)
			}
		}

		s.fail(errRefused)
		b.start(s)
		p = b.pieces(s, k)
		p.source.Track(needy("a"))
		synctest.Wait()
		p.expect(t, "v", "first token", tokenLife)

		// The server is back with another value, of which the pod is told at once.
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cm", UID: "cm", ResourceVersion: "2"}, Data: map[string]string{"k": "w"}}
		if err := s.Tracker().Update(corev1.SchemeGroupVersion.WithResource("configmaps"), cm, "ns"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.fail(nil)
		time.Sleep(2 * longestPing)
		synctest.Wait()
		if p.told != 1 {
			t.Errorf("told %d times about the config map that is new", p.told)
		}
		p.expect(t, "w", "second token", 3600)
		p.source.Close()
		b.stop()

		// Another box's key opens no secret, and everything else.
		s.fail(errRefused)
		b.key = nodeKey(t)
		b.start(s)
		b.expectPods("ns/a")
		p = b.pieces(s, k)
		if _, err := p.source.Secret(t.Context(), "ns", "secret"); !errors.Is(err, errRefused) {
			t.Errorf("a secret under the wrong key: %v", err)
		}
		if _, err := p.tokens.CreateToken(t.Context(), "ns", "default", request(needy("a"))); !errors.Is(err, errRefused) {
			t.Errorf("a token under the wrong key: %v", err)
		}
		if cm, err := p.source.ConfigMap(t.Context(), "ns", "cm"); err != nil || cm.Data["k"] != "w" {
			t.Errorf("config map %v, %v", cm, err)
		}
	})
}

// TestWhatNobodyNeeds is dropped: when the last pod goes, and at the next start
// if it went while the node was off.
func TestWhatNobodyNeeds(t *testing.T) {
	for _, off := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b, s := newBox(t), newNeeds()
			s.add(t, needy("b"))
			k := &tokens{s: s}
			b.start(s)
			p := b.pieces(s, k)
			p.source.Track(needy("a"))
			synctest.Wait()
			p.expect(t, "v", "first token", 3600)
			time.Sleep(lazily)
			all := []bucket{bucketConfig, bucketSecret, bucketToken, bucketClaim, bucketVolume, bucketClass}
			kept := func() (out []bucket) {
				for _, in := range all {
					if keys, err := b.store.file.keys(in); err != nil || len(keys) > 0 {
						out = append(out, in)
					}
				}
				return out
			}
			if got := kept(); !slices.Equal(got, all) {
				t.Errorf("kept %v, want %v", got, all)
			}
			remove := func(name string) {
				if err := s.Tracker().Delete(podResource, "ns", name); err != nil {
					t.Fatal(err)
				}
			}
			if off {
				p.source.Close()
				b.stop()
				remove("a")
				remove("b")
				b.start(s)
			} else {
				remove("a")
				time.Sleep(lazily)
				// The other pod needs the same, but for the token.
				if got := kept(); len(got) != len(all)-1 || slices.Contains(got, bucketToken) {
					t.Errorf("kept %v for the other pod", got)
				}
				remove("b")
				p.source.Untrack("uid-a")
			}
			time.Sleep(lazily)
			synctest.Wait()
			if got := kept(); len(got) > 0 {
				t.Errorf("kept %v for nobody", got)
			}
		})
	}
}

func TestSealedInPlace(t *testing.T) {
	s, err := newSealer(nodeKey(t))
	if err != nil {
		t.Fatal(err)
	}
	here, there := slot{bucketSecret, "ns/a"}, slot{bucketSecret, "ns/b"}
	data := s.seal(here, []byte("value"))
	if got, err := s.unseal(here, data); err != nil || string(got) != "value" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := s.unseal(there, data); err == nil {
		t.Errorf("a secret in another's place is %q", got)
	}
	if bytes.Equal(data, s.seal(here, []byte("value"))) {
		t.Error("the same value is sealed twice in the same way")
	}
}
