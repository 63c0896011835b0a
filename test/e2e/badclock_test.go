package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"

	"skiff/server/pki"
	"skiff/test/e2e/host"
)

// TestJoinWithWrongClock joins a server by whose clock it is 100 days earlier, so
// that its certificate has ended by the clock of the box that joins. No process can
// be given a clock of its own, so the server is one of the test's.
func TestJoinWithWrongClock(t *testing.T) {
	t.Parallel()
	lan := host.NewNetwork(t)
	server, box := host.New(t, host.Config{Network: lan}), host.New(t, host.Config{Network: lan, NodeName: "late"})
	identities, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-100 * 24 * time.Hour)
	serveAuthority(t, server, identities.Server, then)
	token, err := pki.NewToken(identities.Server)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, box.Run("skiff", "agent", "--server", server.URL(), "--token", token.String()), 1,
		`^skiff: join: this box's clock is 100 days ahead: it says \S+Z, the server's says `+then.UTC().Format("2006-01-02")+`T\S+Z, and the server's certificate is not valid by it; set the clock and start again$`)
}

// serveAuthority answers on a host as a server does whose clock says now, to
// whoever asks for its authority.
func serveAuthority(t *testing.T, h *host.Host, authority *pki.Authority, now time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := authority.Sign(&x509.Certificate{
		DNSNames:    pki.ServerNames{}.Names().DNS,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, key.Public(), now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	shown := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Cert.Raw})
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			_, _ = w.Write(shown)
		}),
		ErrorLog: log.New(io.Discard, "", 0), // that its certificate is refused
	}
	var listener net.Listener
	err = h.Inside(func() (err error) {
		listener, err = net.Listen("tcp4", h.Addr.String()+":6443")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		ended <- server.Serve(tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}))
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
}
