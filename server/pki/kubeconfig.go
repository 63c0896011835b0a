package pki

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"sync"

	"sigs.k8s.io/yaml"
)

// Kubeconfig is what a client needs to reach the cluster.
type Kubeconfig struct {
	// Server is the URL of the API server.
	Server string
	// CA is the authority of the server's certificate, as PEM.
	CA []byte
	// Certificate and Key are the client's, as PEM.
	Certificate, Key []byte
	// Cluster, User and Context are the names in the file; "default" if empty.
	Cluster, User, Context string
}

type kubeconfigFile struct {
	APIVersion     string         `json:"apiVersion"`
	Kind           string         `json:"kind"`
	Clusters       []namedCluster `json:"clusters"`
	Users          []namedUser    `json:"users"`
	Contexts       []namedContext `json:"contexts"`
	CurrentContext string         `json:"current-context"`
	Preferences    struct{}       `json:"preferences"`
}

type namedCluster struct {
	Name    string `json:"name"`
	Cluster struct {
		Server string `json:"server"`
		CA     []byte `json:"certificate-authority-data"`
	} `json:"cluster"`
}

type namedUser struct {
	Name string `json:"name"`
	User struct {
		Certificate []byte `json:"client-certificate-data"`
		Key         []byte `json:"client-key-data"`
	} `json:"user"`
}

type namedContext struct {
	Name    string `json:"name"`
	Context struct {
		Cluster string `json:"cluster"`
		User    string `json:"user"`
	} `json:"context"`
}

// Bytes returns the file's content.
func (k Kubeconfig) Bytes() ([]byte, error) {
	var c namedCluster
	c.Name = orDefault(k.Cluster)
	c.Cluster.Server, c.Cluster.CA = k.Server, k.CA
	var u namedUser
	u.Name = orDefault(k.User)
	u.User.Certificate, u.User.Key = k.Certificate, k.Key
	var x namedContext
	x.Name = orDefault(k.Context)
	x.Context.Cluster, x.Context.User = c.Name, u.Name
	data, err := json.Marshal(kubeconfigFile{
		APIVersion: "v1", Kind: "Config", CurrentContext: x.Name,
		Clusters: []namedCluster{c}, Users: []namedUser{u}, Contexts: []namedContext{x},
	})
	if err != nil {
		return nil, fmt.Errorf("encode kubeconfig: %w", err)
	}
	return yaml.JSONToYAML(data)
}

// Write writes the file with mode 0600, atomically, and only if its content would
// change. Missing directories are made.
func (k Kubeconfig) Write(path string) error {
	data, err := k.Bytes()
	if err != nil {
		return err
	}
	return writeIfChanged(path, data, 0o600)
}

func orDefault(s string) string {
	if s == "" {
		return "default"
	}
	return s
}

// KubeconfigFile is a kubeconfig on disk for a client's certificate. It is safe
// for concurrent use.
type KubeconfigFile struct {
	pki    *PKI
	path   string
	server func() string
	cert   *Certificate
	mu     sync.Mutex // of the file
}

// KubeconfigFile returns the file at path for the client certificate c. Nothing is
// written before Write, and after each renewal of c. server is asked for the URL
// of the API server on each writing.
func (p *PKI) KubeconfigFile(path string, server func() string, c *Certificate) *KubeconfigFile {
	f := &KubeconfigFile{pki: p, path: path, server: server, cert: c}
	c.OnRenew(func(t *tls.Certificate) {
		chain, key, err := encodePair(t)
		if err == nil {
			err = f.write(chain, key)
		}
		if err != nil {
			p.log.Warn("writing kubeconfig after renewal failed", "path", path, "err", err)
		}
	})
	return f
}

// Write writes the file, if its content would change.
func (f *KubeconfigFile) Write() error {
	chain, key, err := f.cert.PEM()
	if err != nil {
		return err
	}
	return f.write(chain, key)
}

func (f *KubeconfigFile) write(chain, key []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := Kubeconfig{Server: f.server(), CA: f.pki.Server.PEM, Certificate: chain, Key: key, Cluster: "skiff", User: "admin", Context: "skiff"}
	return k.Write(f.path)
}
