package offline

import (
	"context"
	"encoding/json"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"

	"skiff/agent/volume"
)

// tokenLife is how long a token from the disk is said to be good for, in seconds:
// how much is left of it nobody knows, since the clock may be wrong, and it is to be
// asked for again soon.
const tokenLife = 75

// Tokens keeps the tokens that next brings, sealed, and gives them out again while
// the server does not answer: also those that have expired, as a container that
// starts is better than none.
func (s *Store) Tokens(next volume.Tokens) volume.Tokens { return keptTokens{s, next} }

type keptTokens struct {
	store *Store
	next  volume.Tokens
}

// tokenSlot begins with the pod's UID, so that a pod's are found together.
func tokenSlot(namespace, account string, req *authenticationv1.TokenRequest) (slot, error) {
	spec, err := json.Marshal(req.Spec)
	if err != nil {
		return slot{}, err
	}
	var pod string
	if req.Spec.BoundObjectRef != nil {
		pod = string(req.Spec.BoundObjectRef.UID)
	}
	return slot{bucketToken, fmt.Sprintf("%s/%s/%s/%s", pod, namespace, account, spec)}, nil
}

// CreateToken implements volume.Tokens.
func (t keptTokens) CreateToken(ctx context.Context, namespace, account string, req *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
	at, err := tokenSlot(namespace, account, req)
	if err != nil {
		return nil, err
	}
	kept := func() (*authenticationv1.TokenRequest, bool) {
		value, ok := t.store.read(at)
		if !ok {
			return nil, false
		}
		again := req.DeepCopy()
		life := int64(tokenLife)
		again.Spec.ExpirationSeconds, again.Status.Token = &life, string(value)
		return again, true
	}
	resp, fromServer, err := call(ctx, &t.store.link, kept, func(ctx context.Context) (*authenticationv1.TokenRequest, error) {
		return t.next.CreateToken(ctx, namespace, account, req)
	})
	if err == nil && fromServer {
		token := []byte(resp.Status.Token)
		t.store.put(at, soon, func() ([]byte, error) { return token, nil })
	}
	return resp, err
}
