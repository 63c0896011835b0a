package registry

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
)

// continueToken is what a continue parameter encodes; clients treat it as
// opaque, yet its form is that of upstream.
type continueToken struct {
	APIVersion string `json:"v"`
	// Revision is that of the whole list; -1 for the latest, after the list's
	// own was compacted.
	Revision int64 `json:"rv"`
	// Start is the first key to return, behind the list's prefix.
	Start string `json:"start"`
}

const tokenVersion = "meta.k8s.io/v1"

func encodeContinue(start string, revision int64) string {
	b, _ := json.Marshal(continueToken{APIVersion: tokenVersion, Revision: revision, Start: start}) // cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeContinue(token string) (start string, revision int64, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, fmt.Errorf("continue key is not valid: %w", err)
	}
	var c continueToken
	if err := json.Unmarshal(b, &c); err != nil {
		return "", 0, fmt.Errorf("continue key is not valid: %w", err)
	}
	switch {
	case c.APIVersion != tokenVersion:
		return "", 0, fmt.Errorf("continue key is not valid: server does not recognize this encoded version %v", c.APIVersion)
	case c.Revision == 0:
		return "", 0, errors.New("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
	case c.Start == "":
		return "", 0, errors.New("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
	case path.Clean("/"+c.Start) != "/"+c.Start:
		return "", 0, fmt.Errorf("continue key is not valid: %v", c.Start)
	}
	return c.Start, c.Revision, nil
}
