package token

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	jose "github.com/go-jose/go-jose/v4"
)

// The paths of the issuer's discovery documents (OpenID Connect Discovery 1.0).
const (
	ConfigPath = "/.well-known/openid-configuration"
	KeysPath   = "/openid/v1/jwks"
)

// Discovery holds the two documents by which others can verify tokens.
type Discovery struct {
	config func() ([]byte, error)
	keys   []byte
}

// Discovery returns the documents. If jwksURI is empty, external is asked for the
// host:port at which the keys can be had, each time that somebody wants to know.
func (i *Issuer) Discovery(jwksURI string, external func() string) (*Discovery, error) {
	if !strings.HasPrefix(i.url, "https://") {
		return nil, fmt.Errorf("issuer URL must use https scheme, got: %s", i.url)
	}
	set, algs := i.jwks()
	keys, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("encode issuer's keys: %w", err)
	}
	config := func() ([]byte, error) {
		uri := jwksURI
		if uri == "" {
			uri = "https://" + external() + KeysPath
		}
		return json.Marshal(struct {
			Issuer        string   `json:"issuer"`
			JWKSURI       string   `json:"jwks_uri"`
			ResponseTypes []string `json:"response_types_supported"`
			SubjectTypes  []string `json:"subject_types_supported"`
			Algorithms    []string `json:"id_token_signing_alg_values_supported"`
		}{i.url, uri, []string{"id_token"}, []string{"public"}, algs})
	}
	return &Discovery{config: config, keys: keys}, nil
}

func (i *Issuer) jwks() (jose.JSONWebKeySet, []string) {
	var set jose.JSONWebKeySet
	var algs []string
	for id, k := range i.keys {
		alg := jose.RS256
		if ec, ok := k.(*ecdsa.PublicKey); ok {
			alg = map[int]jose.SignatureAlgorithm{256: jose.ES256, 384: jose.ES384, 521: jose.ES512}[ec.Curve.Params().BitSize]
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: id, Algorithm: string(alg), Use: "sig"})
		algs = append(algs, string(alg))
	}
	slices.SortFunc(set.Keys, func(a, b jose.JSONWebKey) int { return strings.Compare(a.KeyID, b.KeyID) })
	slices.Sort(algs)
	return set, slices.Compact(algs)
}

// Config serves ConfigPath.
func (d *Discovery) Config() http.Handler { return document("application/json", d.config) }

// Keys serves KeysPath.
func (d *Discovery) Keys() http.Handler {
	return document("application/jwk-set+json", func() ([]byte, error) { return d.keys, nil })
}

func document(contentType string, content func() ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		body, err := content()
		if err != nil {
			http.Error(w, fmt.Sprintf("encode the document: %v", err), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		// A write fails only if the client is gone.
		_, _ = w.Write(body)
	})
}
