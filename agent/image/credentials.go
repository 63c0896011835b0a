package image

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// WithTag adds the tag "latest" to an image name that has neither tag nor digest.
func WithTag(image string) (string, error) {
	named, err := reference.ParseDockerRef(image)
	if err != nil {
		return "", fmt.Errorf("couldn't parse image name %q: %w", image, err)
	}
	parsed, err := reference.Parse(image)
	if err != nil {
		return "", err
	}
	_, tagged := parsed.(reference.Tagged)
	_, digested := parsed.(reference.Digested)
	if !tagged && !digested {
		if t, ok := named.(reference.Tagged); ok {
			return image + ":" + t.Tag(), nil
		}
	}
	return image, nil
}

// dockerConfig is a ~/.docker/config.json; the older .dockercfg is its auths alone.
type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
	// IdentityToken is for registries that hand out refresh tokens.
	IdentityToken string `json:"identitytoken"`
}

// lookup returns the credentials in secrets that match the image, the most
// specific first. A secret that cannot be read is as good as none.
func lookup(image string, secrets []*corev1.Secret) []*runtimeapi.AuthConfig {
	type match struct {
		key  string
		auth *runtimeapi.AuthConfig
	}
	var matches []match
	for _, s := range secrets {
		for server, auth := range auths(s) {
			if matchServer(server, image) {
				matches = append(matches, match{server, auth.cri(server)})
			}
		}
	}
	slices.SortStableFunc(matches, func(a, b match) int {
		return cmp.Or(cmp.Compare(len(b.key), len(a.key)), cmp.Compare(a.key, b.key))
	})
	out := make([]*runtimeapi.AuthConfig, len(matches))
	for i := range matches {
		out[i] = matches[i].auth
	}
	return out
}

func auths(s *corev1.Secret) map[string]dockerAuth {
	switch s.Type {
	case corev1.SecretTypeDockerConfigJson:
		var cfg dockerConfig
		if json.Unmarshal(s.Data[corev1.DockerConfigJsonKey], &cfg) == nil {
			return cfg.Auths
		}
	case corev1.SecretTypeDockercfg:
		var cfg map[string]dockerAuth
		if json.Unmarshal(s.Data[corev1.DockerConfigKey], &cfg) == nil {
			return cfg
		}
	}
	return nil
}

func (a dockerAuth) cri(server string) *runtimeapi.AuthConfig {
	user, password := a.Username, a.Password
	if a.Auth != "" {
		if decoded, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			user, password, _ = strings.Cut(string(decoded), ":")
		}
	}
	return &runtimeapi.AuthConfig{Username: user, Password: password, IdentityToken: a.IdentityToken, ServerAddress: server}
}

// matchServer tells whether credentials for a server ("https://host:port/path",
// host parts may be globs) count for an image.
func matchServer(server, image string) bool {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return false
	}
	host, repo := reference.Domain(named), reference.Path(named)
	server = strings.TrimPrefix(strings.TrimPrefix(server, "https://"), "http://")
	wantHost, wantPath, _ := strings.Cut(server, "/")
	if wantHost == "index.docker.io" || wantHost == "registry-1.docker.io" {
		wantHost = "docker.io"
	}
	wantPath = strings.Trim(wantPath, "/")
	if wantPath == "v1" || wantPath == "v2" {
		wantPath = ""
	}
	if wantPath != "" && repo != wantPath && !strings.HasPrefix(repo, wantPath) {
		return false
	}
	return matchHost(wantHost, host)
}

// matchHost compares label by label, so that a glob never spans a dot.
func matchHost(pattern, host string) bool {
	patternName, patternPort, _ := strings.Cut(pattern, ":")
	hostName, hostPort, _ := strings.Cut(host, ":")
	if patternPort != hostPort {
		return false
	}
	want, have := strings.Split(patternName, "."), strings.Split(hostName, ".")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok {
			return false
		}
	}
	return true
}
