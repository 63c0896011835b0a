package token

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	testclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

const issuerURL = "https://kubernetes.default.svc.cluster.local"

var start = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world holds the objects that tokens name; it is a Getter.
type world struct {
	accounts map[string]*corev1.ServiceAccount
	pods     map[string]*corev1.Pod
	secrets  map[string]*corev1.Secret
	nodes    map[string]*corev1.Node
}

func find[T any](m map[string]*T, resource, key string) (*T, error) {
	if o, ok := m[key]; ok {
		return o, nil
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: resource}, key)
}

func (w *world) ServiceAccount(_ context.Context, ns, n string) (*corev1.ServiceAccount, error) {
	return find(w.accounts, "serviceaccounts", ns+"/"+n)
}
func (w *world) Pod(_ context.Context, ns, n string) (*corev1.Pod, error) {
	return find(w.pods, "pods", ns+"/"+n)
}
func (w *world) Secret(_ context.Context, ns, n string) (*corev1.Secret, error) {
	return find(w.secrets, "secrets", ns+"/"+n)
}
func (w *world) Node(_ context.Context, n string) (*corev1.Node, error) {
	return find(w.nodes, "nodes", n)
}

func meta(ns, name, uid string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(uid)}
}

func newWorld() *world {
	return &world{
		accounts: map[string]*corev1.ServiceAccount{"ns/sa": {ObjectMeta: meta("ns", "sa", "sa-uid")}},
		pods: map[string]*corev1.Pod{"ns/pod": {
			ObjectMeta: meta("ns", "pod", "pod-uid"),
			Spec:       corev1.PodSpec{ServiceAccountName: "sa", NodeName: "box"},
		}},
		secrets: map[string]*corev1.Secret{"ns/secret": {ObjectMeta: meta("ns", "secret", "secret-uid")}},
		nodes:   map[string]*corev1.Node{"box": {ObjectMeta: meta("", "box", "node-uid")}},
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newIssuer(t *testing.T) (*Issuer, *testclock.FakeClock) {
	t.Helper()
	clk := testclock.NewFakeClock(start)
	i, err := NewIssuer(Config{URL: issuerURL, Key: newKey(t), Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	return i, clk
}

func issue(t *testing.T, i *Issuer, w *world, b BoundObject, seconds int64, auds ...string) string {
	t.Helper()
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(seconds), Audiences: auds}}
	tok, expires, err := i.Issue(t.Context(), req, w.accounts["ns/sa"], b)
	if err != nil {
		t.Fatal(err)
	}
	if want := i.clock.Now().Add(time.Duration(seconds) * time.Second); !expires.Equal(want) {
		t.Errorf("expires %v, want %v", expires, want)
	}
	return tok
}

func TestUserOfToken(t *testing.T) {
	w := newWorld()
	i, _ := newIssuer(t)
	tok := issue(t, i, w, BoundObject{Pod: w.pods["ns/pod"], Node: w.nodes["box"]}, 3600)
	for range 2 { // the second time from the cache
		resp, ok, err := i.Verifier(w).AuthenticateToken(t.Context(), tok)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		u := resp.User
		if u.GetName() != "system:serviceaccount:ns:sa" || u.GetUID() != "sa-uid" {
			t.Errorf("user %q uid %q", u.GetName(), u.GetUID())
		}
		if g := strings.Join(u.GetGroups(), " "); g != "system:serviceaccounts system:serviceaccounts:ns" {
			t.Errorf("groups %s", g)
		}
		for key, want := range map[string]string{
			"authentication.kubernetes.io/pod-name": "pod", "authentication.kubernetes.io/pod-uid": "pod-uid",
			"authentication.kubernetes.io/node-name": "box", "authentication.kubernetes.io/node-uid": "node-uid",
		} {
			if got := u.GetExtra()[key]; len(got) != 1 || got[0] != want {
				t.Errorf("extra %s: %v, want %s", key, got, want)
			}
		}
		if id := u.GetExtra()["authentication.kubernetes.io/credential-id"]; len(id) != 1 || !strings.HasPrefix(id[0], "JTI=") {
			t.Errorf("credential id %v", id)
		}
	}
}

// What ends a token ends it at once, though its signature is remembered.
func TestTokenEnds(t *testing.T) {
	deleted := func(seconds int) *metav1.Time {
		return ptr.To(metav1.NewTime(start.Add(time.Duration(seconds) * time.Second)))
	}
	for name, tc := range map[string]struct {
		bound  func(*world) BoundObject
		change func(*world, *testclock.FakeClock)
		want   string // "" if it stays good
	}{
		"unchanged":               {nil, func(*world, *testclock.FakeClock) {}, ""},
		"expired":                 {nil, func(_ *world, c *testclock.FakeClock) { c.Step(62 * time.Minute) }, "service account token has expired"},
		"expired within leeway":   {nil, func(_ *world, c *testclock.FakeClock) { c.Step(60*time.Minute + 30*time.Second) }, ""},
		"clock set back":          {nil, func(_ *world, c *testclock.FakeClock) { c.SetTime(time.Unix(10, 0)) }, "service account token is not valid yet"},
		"clock back a little":     {nil, func(_ *world, c *testclock.FakeClock) { c.SetTime(start.Add(-30 * time.Second)) }, ""},
		"account gone":            {nil, func(w *world, _ *testclock.FakeClock) { clear(w.accounts) }, `serviceaccounts "ns/sa" not found`},
		"account made again":      {nil, func(w *world, _ *testclock.FakeClock) { w.accounts["ns/sa"].UID = "2" }, "service account UID (2) does not match claim (sa-uid)"},
		"account long deleted":    {nil, func(w *world, _ *testclock.FakeClock) { w.accounts["ns/sa"].DeletionTimestamp = deleted(-61) }, "service account ns/sa has been deleted"},
		"account just deleted":    {nil, func(w *world, _ *testclock.FakeClock) { w.accounts["ns/sa"].DeletionTimestamp = deleted(-59) }, ""},
		"pod gone":                {toPod, func(w *world, _ *testclock.FakeClock) { clear(w.pods) }, "service account token has been invalidated"},
		"pod made again":          {toPod, func(w *world, _ *testclock.FakeClock) { w.pods["ns/pod"].UID = "2" }, "pod UID (2) does not match service account pod ref claim (pod-uid)"},
		"pod in its grace":        {toPod, func(w *world, _ *testclock.FakeClock) { w.pods["ns/pod"].DeletionTimestamp = deleted(30) }, ""},
		"pod beyond its grace":    {toPod, func(w *world, _ *testclock.FakeClock) { w.pods["ns/pod"].DeletionTimestamp = deleted(-61) }, "service account token has been invalidated"},
		"node of the pod is gone": {toPod, func(w *world, _ *testclock.FakeClock) { clear(w.nodes) }, ""},
		"secret gone":             {toSecret, func(w *world, _ *testclock.FakeClock) { clear(w.secrets) }, "service account token has been invalidated"},
		"secret made again":       {toSecret, func(w *world, _ *testclock.FakeClock) { w.secrets["ns/secret"].UID = "2" }, "secret UID (2) does not match service account secret ref claim (secret-uid)"},
		"node gone":               {toNode, func(w *world, _ *testclock.FakeClock) { clear(w.nodes) }, "service account token has been invalidated"},
		"node made again":         {toNode, func(w *world, _ *testclock.FakeClock) { w.nodes["box"].UID = "2" }, "node UID (2) does not match service account node ref claim (node-uid)"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			i, clk := newIssuer(t)
			var b BoundObject
			if tc.bound != nil {
				b = tc.bound(w)
			}
			tok := issue(t, i, w, b, 3600)
			v := i.Verifier(w)
			if _, ok, err := v.AuthenticateToken(t.Context(), tok); err != nil || !ok {
				t.Fatalf("before: %v, %v", ok, err)
			}
			tc.change(w, clk)
			_, ok, err := v.AuthenticateToken(t.Context(), tok)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != tc.want || ok != (tc.want == "") {
				t.Errorf("got %v, %q, want %q", ok, got, tc.want)
			}
		})
	}
}

func toPod(w *world) BoundObject    { return BoundObject{Pod: w.pods["ns/pod"], Node: w.nodes["box"]} }
func toSecret(w *world) BoundObject { return BoundObject{Secret: w.secrets["ns/secret"]} }
func toNode(w *world) BoundObject   { return BoundObject{Node: w.nodes["box"]} }

func TestAudiences(t *testing.T) {
	w := newWorld()
	i, _ := newIssuer(t)
	v := i.Verifier(w)
	tok := issue(t, i, w, BoundObject{}, 3600, "vault", "other")
	if _, ok, err := v.AuthenticateToken(t.Context(), tok); ok || err == nil || !strings.Contains(err.Error(), "is invalid for the target audiences") {
		t.Errorf("a token for others passes: %v, %v", ok, err)
	}
	ctx := authenticator.WithAudiences(t.Context(), authenticator.Audiences{"vault", issuerURL})
	resp, ok, err := v.AuthenticateToken(ctx, tok)
	if err != nil || !ok || len(resp.Audiences) != 1 || resp.Audiences[0] != "vault" {
		t.Errorf("%v, %v, %v", resp, ok, err)
	}
}

func TestForgedAndForeignTokens(t *testing.T) {
	w := newWorld()
	i, _ := newIssuer(t)
	stranger, _ := newIssuer(t)
	good := issue(t, i, w, BoundObject{}, 3600)
	parts := strings.Split(good, ".")
	flipped := parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2]))
	none := "eyJhbGciOiJub25lIn0." + parts[1] + "."
	for name, tc := range map[string]struct {
		text    string
		foreign bool // left to others, without an error
	}{
		"signed by another key": {issue(t, stranger, w, BoundObject{}, 3600), false},
		"signature exchanged":   {flipped, false},
		"algorithm none":        {none, false},
		"not a token":           {"abc.def", true},
		"another issuer":        {parts[0] + ".eyJpc3MiOiJodHRwczovL2V4YW1wbGUub3JnIn0." + parts[2], true},
		"payload not base64":    {"a.$.c", true},
		"empty":                 {"", true},
	} {
		_, ok, err := i.Verifier(w).AuthenticateToken(t.Context(), tc.text)
		if ok || (err == nil) != tc.foreign {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

func TestOldKeyStillVerifies(t *testing.T) {
	w := newWorld()
	before, clk := newIssuer(t)
	tok := issue(t, before, w, BoundObject{}, 3600)
	after, err := NewIssuer(Config{URL: issuerURL, Key: newKey(t), OldKeys: []crypto.PublicKey{before.keys[only(before)]}, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := after.Verifier(w).AuthenticateToken(t.Context(), tok); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

func only(i *Issuer) string {
	for id := range i.keys {
		return id
	}
	return ""
}

func TestLegacyToken(t *testing.T) {
	w := newWorld()
	i, clk := newIssuer(t)
	secret := w.secrets["ns/secret"]
	tok, err := i.IssueLegacy(w.accounts["ns/sa"], secret)
	if err != nil {
		t.Fatal(err)
	}
	v := i.Verifier(w)
	check := func(what, want string) {
		t.Helper()
		_, ok, err := v.AuthenticateToken(t.Context(), tok)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want || ok != (want == "") {
			t.Errorf("%s: %v, %q, want %q", what, ok, got, want)
		}
	}
	check("secret without it", "Token does not match server's copy")
	secret.Data = map[string][]byte{"token": []byte(tok)}
	clk.Step(10 * 365 * 24 * time.Hour)
	check("ten years later", "")
	secret.DeletionTimestamp = ptr.To(metav1.NewTime(clk.Now()))
	check("secret being deleted", "Token has been invalidated")
	clear(w.secrets)
	check("secret gone", "Token has been invalidated")
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := newCache(4)
	c.put("used", &verified{})
	for n := range 40 {
		c.put(strings.Repeat("x", n), &verified{})
		if _, ok := c.get("used"); !ok {
			t.Fatalf("lost after %d others", n)
		}
		if size := len(c.young) + len(c.old); size > 8 {
			t.Fatalf("holds %d", size)
		}
	}
	if _, ok := c.get("x"); ok {
		t.Error("keeps what nobody used")
	}
}
