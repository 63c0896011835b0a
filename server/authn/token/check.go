package token

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// invalidatedLabel marks a Secret whose token was retired for not being used.
const invalidatedLabel = "kubernetes.io/legacy-token-invalid-since"

var errInvalidated = errors.New("service account token has been invalidated")

// check tells whether a token with these (proven) claims is good now.
func (v *Verifier) check(ctx context.Context, text string, c *claims) error {
	now := v.issuer.clock.Now()
	// Clocks of servers differ: what was deleted a moment ago still counts.
	deadline := now.Add(-jwt.DefaultLeeway)
	if c.Issuer == LegacyIssuer {
		return v.checkLegacy(ctx, text, c)
	}
	if err := checkTime(c, now); err != nil {
		return err
	}
	k := c.Kubernetes
	if err := v.checkAccount(ctx, k.Namespace, k.ServiceAccount, deadline); err != nil {
		return err
	}
	switch {
	case k.Secret != nil:
		o, err := v.getter.Secret(ctx, k.Namespace, k.Secret.Name)
		return checkBound("secret", o, err, *k.Secret, deadline)
	case k.Pod != nil:
		// The node that comes with a pod is information, not a bond.
		o, err := v.getter.Pod(ctx, k.Namespace, k.Pod.Name)
		return checkBound("pod", o, err, *k.Pod, deadline)
	case k.Node != nil:
		o, err := v.getter.Node(ctx, k.Node.Name)
		return checkBound("node", o, err, *k.Node, deadline)
	}
	return nil
}

func checkTime(c *claims, now time.Time) error {
	err := c.Validate(jwt.Expected{Time: now})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrExpired):
		return errors.New("service account token has expired")
	case errors.Is(err, jwt.ErrNotValidYet):
		return errors.New("service account token is not valid yet")
	case errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errors.New("service account token is issued in the future")
	}
	return fmt.Errorf("service account token claims could not be validated: %w", err)
}

func (v *Verifier) checkAccount(ctx context.Context, namespace string, r ref, deadline time.Time) error {
	sa, err := v.getter.ServiceAccount(ctx, namespace, r.Name)
	if err != nil {
		return err
	}
	if string(sa.UID) != r.UID {
		return fmt.Errorf("service account UID (%s) does not match claim (%s)", sa.UID, r.UID)
	}
	if deletedBefore(sa, deadline) {
		return fmt.Errorf("service account %s/%s has been deleted", namespace, r.Name)
	}
	return nil
}

// checkBound tells whether the object that a token is bound to is still the same
// one and alive.
func checkBound(kind string, o metav1.Object, err error, r ref, deadline time.Time) error {
	if err != nil {
		return errInvalidated
	}
	if string(o.GetUID()) != r.UID {
		return fmt.Errorf("%s UID (%s) does not match service account %s ref claim (%s)", kind, o.GetUID(), kind, r.UID)
	}
	if deletedBefore(o, deadline) {
		return errInvalidated
	}
	return nil
}

func deletedBefore(o metav1.Object, t time.Time) bool {
	d := o.GetDeletionTimestamp()
	return d != nil && d.Time.Before(t)
}

func checkLegacyClaims(c *claims) error {
	for _, claim := range []struct{ name, value string }{
		{"sub", c.Subject}, {"namespace", c.LegacyNamespace}, {"secretName", c.LegacySecret},
		{"serviceAccountName", c.LegacyName}, {"serviceAccountUID", c.LegacyUID},
	} {
		if claim.value == "" {
			return fmt.Errorf("%s claim is missing", claim.name)
		}
	}
	if !serviceaccount.MatchesUsername(c.LegacyNamespace, c.LegacyName, c.Subject) {
		return errors.New("sub claim is invalid")
	}
	return nil
}

// checkLegacy checks a token that lives in a Secret: it is good as long as that
// Secret holds it. The texts are upstream's, capitals included.
func (v *Verifier) checkLegacy(ctx context.Context, text string, c *claims) error {
	ns, name := c.LegacyNamespace, c.LegacySecret
	secret, err := v.getter.Secret(ctx, ns, name)
	if err != nil || secret.DeletionTimestamp != nil {
		return errors.New("Token has been invalidated") //nolint:staticcheck // see above
	}
	if subtle.ConstantTimeCompare(secret.Data[corev1.ServiceAccountTokenKey], []byte(text)) != 1 {
		return errors.New("Token does not match server's copy") //nolint:staticcheck // see above
	}
	if secret.Labels[invalidatedLabel] != "" {
		return fmt.Errorf("the token in secret %s/%s for service account %s/%s has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '%s' label from the secret to temporarily allow use of this token", ns, name, ns, c.LegacyName, invalidatedLabel)
	}
	sa, err := v.getter.ServiceAccount(ctx, ns, c.LegacyName)
	if err != nil {
		return err
	}
	if sa.DeletionTimestamp != nil {
		return fmt.Errorf("ServiceAccount %s/%s has been deleted", ns, c.LegacyName) //nolint:staticcheck // see above
	}
	if string(sa.UID) != c.LegacyUID {
		return fmt.Errorf("ServiceAccount UID (%s) does not match claim (%s)", sa.UID, c.LegacyUID) //nolint:staticcheck // see above
	}
	return nil
}
