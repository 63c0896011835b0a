package join

import (
	"context"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
)

// Secrets reads the tokens' Secrets, those of Namespace.
type Secrets interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (*corev1.Secret, error)
}

// NewAuthenticator returns an authenticator of bearer tokens ID.SECRET. Each is
// looked up when it is shown, so that one that was removed is refused at once;
// boxes join rarely.
func NewAuthenticator(secrets Secrets, now func() time.Time) authenticator.Token {
	return &tokens{secrets: secrets, now: now}
}

type tokens struct {
	secrets Secrets
	now     func() time.Time
}

var bearerPattern = regexp.MustCompile(`^([a-z0-9]{6})\.([a-z0-9]{16})$`)

// AuthenticateToken implements authenticator.Token. Why a token is refused, the
// one who shows it is not told.
func (a *tokens) AuthenticateToken(ctx context.Context, text string) (*authenticator.Response, bool, error) {
	m := bearerPattern.FindStringSubmatch(text)
	if m == nil {
		return nil, false, nil
	}
	s, err := a.secrets.Get(ctx, SecretName(m[1]), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("look up the join token %s: %w", m[1], err)
	}
	if s.DeletionTimestamp != nil || subtle.ConstantTimeCompare(s.Data[keySecret], []byte(m[2])) != 1 {
		return nil, false, nil
	}
	t, err := FromSecret(s)
	if err != nil {
		return nil, false, err
	}
	if t.Disabled || t.Expired(a.now()) {
		slog.Info("a join token was refused", "id", t.ID, "expired", t.Expired(a.now()))
		return nil, false, nil
	}
	return &authenticator.Response{User: t.user()}, true, nil
}
