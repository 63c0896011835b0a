package volume

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Tokens asks for service account tokens.
type Tokens interface {
	CreateToken(ctx context.Context, namespace, account string, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error)
}

// ClientTokens asks the API server.
func ClientTokens(client kubernetes.Interface) Tokens { return clientTokens{client} }

type clientTokens struct{ client kubernetes.Interface }

func (c clientTokens) CreateToken(ctx context.Context, namespace, account string, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	return c.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, req, metav1.CreateOptions{})
}

const (
	// maxTokenAge is when a token is renewed at the latest.
	maxTokenAge = 24 * time.Hour
	// tokenJitter spreads the renewals of pods that started together.
	tokenJitter = 10 * time.Second
)

// tokenCache keeps the tokens of the pods. Ages are measured by the monotonic
// clock, because the wall clock of a small box may be wrong.
type tokenCache struct {
	mu      sync.Mutex
	entries map[tokenKey]tokenEntry
}

type tokenKey struct {
	pod      types.UID
	audience string
	seconds  int64
}

type tokenEntry struct {
	token string
	renew time.Time
}

// token returns a token for the projection and how long until it should be
// renewed: at 80 % of its life.
func (m *Manager) token(ctx context.Context, pod *corev1.Pod, t *corev1.ServiceAccountTokenProjection) (string, time.Duration, error) {
	seconds := int64(3600)
	if t.ExpirationSeconds != nil {
		seconds = *t.ExpirationSeconds
	}
	key := tokenKey{pod.UID, t.Audience, seconds}
	m.tokens.mu.Lock()
	e, ok := m.tokens.entries[key]
	m.tokens.mu.Unlock()
	if left := time.Until(e.renew); ok && left > 0 {
		return e.token, left, nil
	}
	req := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if t.Audience != "" {
		req.Spec.Audiences = []string{t.Audience}
	}
	resp, err := m.cfg.Tokens.CreateToken(ctx, pod.Namespace, account(pod), req)
	if err != nil {
		if ok {
			// The old one is good for a while yet; ask again soon.
			return e.token, time.Minute, nil
		}
		return "", 0, fmt.Errorf("failed to fetch token: %w", err)
	}
	life := time.Duration(seconds) * time.Second
	if resp.Spec.ExpirationSeconds != nil {
		life = time.Duration(*resp.Spec.ExpirationSeconds) * time.Second
	}
	age := min(life*8/10, maxTokenAge) - rand.N(tokenJitter)
	m.tokens.mu.Lock()
	defer m.tokens.mu.Unlock()
	if m.tokens.entries == nil {
		m.tokens.entries = map[tokenKey]tokenEntry{}
	}
	m.tokens.entries[key] = tokenEntry{token: resp.Status.Token, renew: time.Now().Add(age)}
	return resp.Status.Token, age, nil
}

func account(pod *corev1.Pod) string {
	if pod.Spec.ServiceAccountName == "" {
		return "default"
	}
	return pod.Spec.ServiceAccountName
}

// forget drops a pod's tokens.
func (c *tokenCache) forget(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.entries {
		if key.pod == uid {
			delete(c.entries, key)
		}
	}
}
