package join_test

import (
	"context"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/server/join"
	"skiff/server/pki"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

const (
	id     = "abcdef"
	secret = "0123456789abcdef"
)

func token() join.Token {
	return join.Token{ID: id, Secret: secret, Description: "for the shed", Expires: now.Add(time.Hour)}.ForRole(join.RoleAgent)
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []join.Token{token(), {ID: id, Secret: secret}, {ID: id, Secret: secret, Server: "box", Disabled: true}} {
		got, err := join.FromSecret(want.ToSecret())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	if role := token().Role(); role != "agent" {
		t.Errorf("role %q", role)
	}
}

func TestAuthenticate(t *testing.T) {
	set := func(key, value string) func(*corev1.Secret) {
		return func(s *corev1.Secret) { s.Data[key] = []byte(value) }
	}
	const good = id + "." + secret
	for name, c := range map[string]struct {
		shown  string
		change func(*corev1.Secret)
		groups string // "" if refused
		err    string
	}{
		"good":            {good, nil, "system:bootstrappers,system:bootstrappers:skiff:agent", ""},
		"by kubeadm":      {good, set("auth-extra-groups", "system:bootstrappers:kubeadm:default-node-token"), "system:bootstrappers,system:bootstrappers:kubeadm:default-node-token", ""},
		"without end":     {good, set("expiration", ""), "system:bootstrappers,system:bootstrappers:skiff:agent", ""},
		"wrong secret":    {id + ".0123456789abcdeg", nil, "", ""},
		"unknown":         {"abcdeg." + secret, nil, "", ""},
		"a whole token":   {"skiff." + strings.Repeat("0", 64) + "." + good, nil, "", ""},
		"no token at all": {"eyJhbGciOiJFUzI1NiJ9.e30.x", nil, "", ""},
		"expired now":     {good, set("expiration", now.Format(time.RFC3339)), "", ""},
		"ends soon":       {good, set("expiration", now.Add(time.Second).Format(time.RFC3339)), "system:bootstrappers,system:bootstrappers:skiff:agent", ""},
		"other usage":     {good, set("usage-bootstrap-authentication", "false"), "", ""},
		"other type":      {good, func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, "", "its type is not bootstrap.kubernetes.io/token"},
		"going away":      {good, func(s *corev1.Secret) { s.DeletionTimestamp = &metav1.Time{Time: now} }, "", ""},
		"other id":        {good, set("token-id", "abcdeg"), "", "token-id is abcdeg, which belongs to secret bootstrap-token-abcdeg"},
		"bad expiration":  {good, set("expiration", "soon"), "", `expiration: "soon" is not a time like`},
		"foreign group":   {good, set("auth-extra-groups", "system:masters"), "", `group "system:masters" does not begin with system:bootstrappers:`},
	} {
		t.Run(name, func(t *testing.T) {
			s := token().ToSecret()
			if c.change != nil {
				c.change(s)
			}
			secrets := fake.NewClientset(s).CoreV1().Secrets(join.Namespace)
			resp, ok, err := join.NewAuthenticator(secrets, func() time.Time { return now }).AuthenticateToken(t.Context(), c.shown)
			if (err != nil) != (c.err != "") || err != nil && (!strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), secret)) {
				t.Fatalf("error %v, want %s", err, c.err)
			}
			if ok != (c.groups != "") {
				t.Fatalf("authenticated: %v", ok)
			}
			if ok && (resp.User.GetName() != "system:bootstrap:"+id || strings.Join(resp.User.GetGroups(), ",") != c.groups) {
				t.Errorf("%v", resp.User)
			}
		})
	}
}

func TestAuthorities(t *testing.T) {
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	join.Authorities(p.Server.PEM).ServeHTTP(w, httptest.NewRequest("GET", join.AuthoritiesPath, nil))
	if w.Code != 200 || w.Body.String() != string(p.Server.PEM) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestKeepOwn: a server has one token of its own, whatever was there before.
func TestKeepOwn(t *testing.T) {
	ctx, client := t.Context(), kubernetes.Interface(fake.NewClientset(token().ToSecret()))
	keep := func(id, server string) {
		t.Helper()
		if err := join.KeepOwn(ctx, client, pki.Token{ID: id, Secret: secret}, server); err != nil {
			t.Fatal(err)
		}
	}
	keep("first1", "box")
	keep("other1", "elsewhere")
	keep("first1", "box")
	check(ctx, t, client, "bootstrap-token-abcdef bootstrap-token-first1 bootstrap-token-other1")
	keep("second", "box")
	check(ctx, t, client, "bootstrap-token-abcdef bootstrap-token-other1 bootstrap-token-second")
	// One that a user made becomes the server's, and has no end then.
	keep(id, "box")
	check(ctx, t, client, "bootstrap-token-abcdef bootstrap-token-other1")
	s, err := client.CoreV1().Secrets(join.Namespace).Get(ctx, join.SecretName(id), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := join.FromSecret(s); err != nil || got.Server != "box" || !got.Expires.IsZero() || got.Role() != "agent" {
		t.Errorf("%+v, %v", got, err)
	}
}

func check(ctx context.Context, t *testing.T, client kubernetes.Interface, want string) {
	t.Helper()
	list, err := client.CoreV1().Secrets(join.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("secrets %s, want %s", got, want)
	}
}
