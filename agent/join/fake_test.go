package join

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// fakeServer is a server as a joining node sees it, over connections in memory, so
// that its time can be virtual. It checks what nodes ask for as the real one does.
type fakeServer struct {
	t     *testing.T
	pki   *pki.PKI
	token pki.Token
	// life is how long its certificates live.
	life time.Duration

	mu sync.Mutex
	// down refuses connections.
	down bool
	// ahead is how far its clock is ahead of the node's.
	ahead time.Duration
	// deny is why requests are denied, "" if they are not.
	deny string
	// deleted tells that there is no Node for who joined.
	deleted bool
	// revoked certificates and tokens are not taken.
	revoked map[string]bool
	info    clusterinfo.Info
	version int
	// asked counts the requests for certificates, by who asked for what.
	asked   map[string]int
	keys    map[string]crypto.PublicKey
	csrs    map[string]*certificatesv1.CertificateSigningRequest
	serving *tls.Certificate
	changed chan struct{}
	conns   chan net.Conn
	open    []net.Conn
}

// newFake starts one; it ends with the test.
func newFake(t *testing.T) *fakeServer {
	t.Helper()
	p, err := pki.Open(pki.Config{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := pki.NewToken(p.Server)
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{
		t: t, pki: p, token: token, life: pki.DefaultLifetime, revoked: map[string]bool{}, asked: map[string]int{},
		keys: map[string]crypto.PublicKey{}, csrs: map[string]*certificatesv1.CertificateSigningRequest{},
		changed: make(chan struct{}), conns: make(chan net.Conn),
		info: clusterinfo.Info{
			ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")},
			ClusterDomain: "cluster.local", Servers: []string{"https://192.0.2.1:6443"}, ClientCA: p.Client.PEM,
		},
	}
	f.showCertificateOf(p, pki.APIServer(pki.ServerNames{ClusterDomain: "cluster.local"}))
	server := &http.Server{
		Handler: f, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{ClientAuth: tls.RequestClientCert, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.serving, nil
		}},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(f, "", "") }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
		time.Sleep(2 * idleTimeout) // connections end
	})
	return f
}

// showCertificateOf has the server show a certificate of an authority.
func (f *fakeServer) showCertificateOf(p *pki.PKI, id pki.Identity) {
	c, err := p.Certificate(id)
	if err != nil {
		f.t.Fatal(err)
	}
	f.set(func() { f.serving, err = c.Get() })
	if err != nil {
		f.t.Fatal(err)
	}
}

// set changes what the server is.
func (f *fakeServer) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	f.version++
	close(f.changed)
	f.changed = make(chan struct{})
}

// dial connects a node. What it dials is any of the server's addresses.
func (f *fakeServer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down || !strings.HasPrefix(address, "192.0.2.") {
		return nil, fmt.Errorf("dial tcp %s: connect: connection refused", address)
	}
	near, far := net.Pipe()
	select {
	case f.conns <- far:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.open = append(f.open, far)
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// cut ends all connections, and takes no more.
func (f *fakeServer) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	for _, c := range f.open {
		_ = c.Close()
	}
	f.open = nil
}

// Accept implements net.Listener.
func (f *fakeServer) Accept() (net.Conn, error) {
	c, ok := <-f.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements net.Listener.
func (f *fakeServer) Close() error { close(f.conns); return nil }

// Addr implements net.Listener.
func (f *fakeServer) Addr() net.Addr { return &net.TCPAddr{} }

// config is that of a node which joins.
func (f *fakeServer) config(dir string) Config {
	return Config{
		Dir: filepath.Join(dir, "agent"), NodeName: "box", Server: "https://192.0.2.1:6443", Token: f.token,
		Dial: f.dial, Logger: slog.New(slog.DiscardHandler),
	}
}

const csrPath = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

func (f *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	now := time.Now().Add(f.ahead)
	f.mu.Unlock()
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if r.URL.Path == authoritiesPath {
		_, _ = w.Write(f.pki.Server.PEM)
		return
	}
	user := f.user(r, now)
	cm := "/api/v1/namespaces/" + clusterinfo.Namespace + "/configmaps"
	name, isCSR := strings.CutPrefix(r.URL.Path, csrPath+"/")
	switch {
	case user == "":
		f.fail(w, apierrors.NewUnauthorized("Unauthorized"))
	case r.URL.Path == csrPath && r.Method == http.MethodPost:
		f.create(w, r, user, now)
	case r.URL.Path == csrPath && r.URL.Query().Get("watch") != "":
		_, name, _ := strings.Cut(r.URL.Query().Get("fieldSelector"), "=")
		f.watch(w, r, func() runtime.Object { return f.csrs[name] })
	case isCSR:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.write(w, f.csrs[name])
	case !strings.HasPrefix(user, "system:node:"):
		f.fail(w, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "", errors.New(user)))
	case r.URL.Query().Get("sendInitialEvents") != "":
		f.fail(w, apierrors.NewInvalid(schema.GroupKind{}, "", nil)) // then clients list
	case r.URL.Path == cm && r.URL.Query().Get("watch") != "":
		f.watch(w, r, func() runtime.Object { return f.configMap() })
	case r.URL.Path == cm:
		f.mu.Lock()
		defer f.mu.Unlock()
		list := &corev1.ConfigMapList{Items: []corev1.ConfigMap{*f.configMap()}}
		list.Kind, list.APIVersion, list.ResourceVersion = "ConfigMapList", "v1", fmt.Sprint(f.version)
		f.write(w, list)
	case r.URL.Path == "/api/v1/nodes/box":
		f.getNode(w)
	case r.URL.Path == cm+"/"+clusterinfo.Name:
		f.mu.Lock()
		defer f.mu.Unlock()
		f.write(w, f.configMap())
	default:
		f.fail(w, apierrors.NewNotFound(schema.GroupResource{}, r.URL.Path))
	}
}

// user is who asks, "" if that is not known.
func (f *fakeServer) user(r *http.Request, now time.Time) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if certs := r.TLS.PeerCertificates; len(certs) > 0 {
		_, err := certs[0].Verify(x509.VerifyOptions{Roots: f.pki.Client.Pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err != nil || f.revoked[certs[0].SerialNumber.String()] {
			return ""
		}
		return certs[0].Subject.CommonName
	}
	if r.Header.Get("Authorization") == "Bearer "+f.token.ID+"."+f.token.Secret && !f.revoked[f.token.ID] {
		return "system:bootstrap:" + f.token.ID
	}
	return ""
}

// create answers a request for a certificate at once, as the controllers do soon.
func (f *fakeServer) create(w http.ResponseWriter, r *http.Request, user string, now time.Time) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
	if err != nil {
		f.t.Error(err)
		return
	}
	csr := obj.(*certificatesv1.CertificateSigningRequest)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	csr.Kind, csr.APIVersion = "CertificateSigningRequest", "certificates.k8s.io/v1"
	csr.Name, csr.ResourceVersion = fmt.Sprintf("csr-%d", f.version), fmt.Sprint(f.version)
	f.asked[user+" "+csr.Spec.SignerName]++
	f.write(w, csr)
	decided := csr.DeepCopy()
	f.decide(decided, user, now)
	f.version++
	decided.ResourceVersion = fmt.Sprint(f.version)
	f.csrs[csr.Name] = decided
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeServer) decide(csr *certificatesv1.CertificateSigningRequest, user string, now time.Time) {
	block, _ := pem.Decode(csr.Spec.Request)
	req, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = req.CheckSignature()
	}
	if err != nil {
		f.t.Errorf("request: %v", err)
		return
	}
	name := req.Subject.CommonName
	key, taken := f.keys[name]
	if f.deny != "" || taken && !req.PublicKey.(*ecdsa.PublicKey).Equal(key) {
		message := f.deny
		if message == "" {
			message = "the name is taken by another box,\n choose another --node-name"
		}
		csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Reason: "NodeNameTaken", Message: message}}
		return
	}
	f.keys[name] = req.PublicKey
	authority, usage := f.pki.Client, x509.ExtKeyUsageClientAuth
	if csr.Spec.SignerName == certificatesv1.KubeletServingSignerName {
		authority, usage = f.pki.Server, x509.ExtKeyUsageServerAuth
		if user != name {
			f.t.Errorf("%s asks for the serving certificate of %s", user, name)
		}
	}
	der, err := authority.Sign(&x509.Certificate{
		Subject: req.Subject, DNSNames: req.DNSNames, IPAddresses: req.IPAddresses, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}, req.PublicKey, now, f.life)
	if err != nil {
		f.t.Error(err)
	}
	csr.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (f *fakeServer) getNode(w http.ResponseWriter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.deleted {
		f.fail(w, apierrors.NewNotFound(corev1.Resource("nodes"), "box"))
		return
	}
	f.write(w, &corev1.Node{TypeMeta: metav1.TypeMeta{Kind: "Node", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "box"}})
}

func (f *fakeServer) configMap() *corev1.ConfigMap {
	cm := f.info.ConfigMap()
	cm.Kind, cm.APIVersion, cm.ResourceVersion = "ConfigMap", "v1", fmt.Sprint(f.version)
	return cm
}

// watch sends the object whenever something has changed.
func (f *fakeServer) watch(w http.ResponseWriter, r *http.Request, object func() runtime.Object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	for {
		f.mu.Lock()
		changed := f.changed
		var event bytes.Buffer
		b, err := json.Marshal(object())
		fmt.Fprintf(&event, `{"type":"MODIFIED","object":%s}`, b)
		f.mu.Unlock()
		if err != nil {
			f.t.Error(err)
		}
		_, _ = w.Write(event.Bytes())
		w.(http.Flusher).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fakeServer) write(w http.ResponseWriter, obj any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(obj); err != nil {
		f.t.Error(err)
	}
}

func (f *fakeServer) fail(w http.ResponseWriter, err *apierrors.StatusError) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(err.ErrStatus.Code))
	status := err.Status()
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	_ = json.NewEncoder(w).Encode(status)
}
