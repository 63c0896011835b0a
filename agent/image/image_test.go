package image

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	fakert "skiff/runtime/cri/fake"
)

func TestWithTag(t *testing.T) {
	for in, want := range map[string]string{
		"busybox": "busybox:latest", "busybox:1": "busybox:1", "reg:5000/a/b": "reg:5000/a/b:latest",
		"a@sha256:" + strings.Repeat("0", 64): "a@sha256:" + strings.Repeat("0", 64),
	} {
		if got, err := WithTag(in); err != nil || got != want {
			t.Errorf("WithTag(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	if _, err := WithTag("Not An Image"); err == nil {
		t.Error("a name that is none was accepted")
	}
}

func TestCredentials(t *testing.T) {
	secret := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {
		"https://index.docker.io/v1/": {"auth": "dTpw"},
		"registry.example.org": {"username": "any", "password": "p"},
		"registry.example.org/team": {"username": "team", "password": "p"},
		"*.wild.org:5000": {"username": "wild", "password": "p"}}}`)}}
	old := &corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(`{"old.org": {"username": "old", "password": "p"}}`)}}
	broken := &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{`)}}
	for image, want := range map[string]string{
		"busybox": "u", "registry.example.org/team/app:v1": "team any", "registry.example.org/other": "any",
		"x.wild.org:5000/a": "wild", "x.wild.org/a": "", "a.b.wild.org:5000/a": "", "old.org/x": "old", "elsewhere.org/a": "",
	} {
		var users []string
		for _, auth := range lookup(image, []*corev1.Secret{broken, secret, old}) {
			users = append(users, auth.Username)
		}
		if got := strings.Join(users, " "); got != want {
			t.Errorf("credentials for %s: %q, want %q", image, got, want)
		}
	}
}

func TestPullErrorsByKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := fakert.New(fakert.Options{Registry: []string{"app"}})
		m := New(rt, record.NewFakeRecorder(100))
		r := Request{Pod: &corev1.Pod{}, Image: "app", Policy: corev1.PullIfNotPresent}
		for _, c := range []struct {
			text string
			kind error
		}{
			{"RegistryUnavailable: connection refused", ErrRegistryUnavailable},
			{"SignatureValidationFailed: no signature", ErrSignatureValidation},
			{"something else", ErrImagePull},
		} {
			rt.Fail("PullImage", errors.New(c.text))
			if _, err := m.Ensure(t.Context(), r); !errors.Is(err, c.kind) {
				t.Errorf("%q: %v, want %v", c.text, err, c.kind)
			}
			if _, err := m.Ensure(t.Context(), r); !errors.Is(err, ErrImagePullBackOff) || !strings.Contains(err.Error(), c.kind.Error()) {
				t.Errorf("right after %q: %v", c.text, err)
			}
			time.Sleep(m.Retry(r) + time.Second)
		}
		if img, err := m.Ensure(t.Context(), r); err != nil || img.GetId() == "" {
			t.Errorf("after the back-off: %v, %v", img, err)
		}
	})
}
