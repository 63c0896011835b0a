package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

var release = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func openAt(t *testing.T, dir string, now time.Time) (*PKI, *testclock.FakeClock) {
	t.Helper()
	clk := testclock.NewFakeClock(now)
	p, err := Open(Config{Dir: dir, Clock: clk})
	if err != nil {
		t.Fatal(err)
	}
	return p, clk
}

func certificate(t *testing.T, p *PKI, id Identity) *Certificate {
	t.Helper()
	c, err := p.Certificate(id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func leaf(t *testing.T, c *Certificate) *x509.Certificate {
	t.Helper()
	cert, err := c.Get()
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf
}

func testNames() ServerNames {
	return ServerNames{
		NodeName: "box", ClusterDomain: "cluster.local",
		ServiceIPs: []netip.Addr{netip.MustParseAddr("10.43.0.1")},
		NodeIPs:    []netip.Addr{netip.MustParseAddr("192.0.2.7")},
		Extra:      []string{"api.example.org", "192.0.2.99"},
	}
}

func TestOpenKeepsWhatItMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	p, _ := openAt(t, dir, release)
	first := leaf(t, certificate(t, p, APIServer(testNames())))
	again, _ := openAt(t, dir, release.Add(time.Hour))
	if !again.Server.Cert.Equal(p.Server.Cert) || !again.Client.Cert.Equal(p.Client.Cert) || !again.FrontProxy.Cert.Equal(p.FrontProxy.Cert) {
		t.Error("an authority changed")
	}
	if !again.ServiceAccountKey.Equal(p.ServiceAccountKey) {
		t.Error("the service account key changed")
	}
	if !leaf(t, certificate(t, again, APIServer(testNames()))).Equal(first) {
		t.Error("the serving certificate changed without a reason")
	}
	if p.Server.Hash() == p.Client.Hash() {
		t.Error("two authorities share a key")
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	p, _ := openAt(t, dir, release)
	certificate(t, p, Admin())
	public := map[string]bool{"server-ca.crt": true, "client-ca.crt": true, "front-proxy-ca.crt": true}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 8 {
		t.Errorf("%d files, want 3 authorities, their keys, the token key and the admin: %v", len(entries), entries)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); !public[e.Name()] && got != 0o600 {
			t.Errorf("%s has mode %o", e.Name(), got)
		}
	}
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("directory has mode %o", st.Mode().Perm())
	}
}

func TestBrokenAuthorityIsNeverReplaced(t *testing.T) {
	for name, breakIt := range map[string]func(dir string) error{
		"key lost":         func(d string) error { return os.Remove(filepath.Join(d, "server-ca.key")) },
		"key emptied":      func(d string) error { return os.Truncate(filepath.Join(d, "client-ca.key"), 0) },
		"certificate torn": func(d string) error { return os.Truncate(filepath.Join(d, "client-ca.crt"), 40) },
		"token key torn":   func(d string) error { return os.Truncate(filepath.Join(d, "service-account.key"), 40) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			openAt(t, dir, release)
			if err := breakIt(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(Config{Dir: dir}); err == nil {
				t.Error("opened in spite of it")
			}
		})
	}
}

// A power cut between the two files of a first start leaves a key alone.
func TestInterruptedFirstStartIsFinished(t *testing.T) {
	dir := t.TempDir()
	p, _ := openAt(t, dir, release)
	if err := os.Remove(filepath.Join(dir, "server-ca.crt")); err != nil {
		t.Fatal(err)
	}
	again, _ := openAt(t, dir, release)
	if again.Server.Hash() != p.Server.Hash() {
		t.Error("the key was not taken up")
	}
}

func TestTornLeafIsIssuedAgain(t *testing.T) {
	dir := t.TempDir()
	p, _ := openAt(t, dir, release)
	certificate(t, p, Admin())
	if err := os.Truncate(filepath.Join(dir, "admin.pem"), 100); err != nil {
		t.Fatal(err)
	}
	again, _ := openAt(t, dir, release)
	if got := leaf(t, certificate(t, again, Admin())).Subject.CommonName; got != "system:admin" {
		t.Errorf("common name %q", got)
	}
}

// handshake connects two ends whose clocks may differ.
func handshake(t *testing.T, p *PKI, server, client *Certificate, name string, serverNow, clientNow time.Time) error {
	t.Helper()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := tls.Server(a, &tls.Config{
		GetCertificate: server.GetCertificate, ClientCAs: p.Client.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		Time: func() time.Time { return serverNow }, SessionTicketsDisabled: true,
	})
	c := tls.Client(b, &tls.Config{
		GetClientCertificate: client.GetClientCertificate, RootCAs: p.Server.Pool(), ServerName: name,
		Time: func() time.Time { return clientNow },
	})
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	err := c.Handshake()
	if err != nil {
		b.Close()
	}
	if serr := <-done; err == nil {
		err = serr
	}
	return err
}

func TestAnyClockGetsIn(t *testing.T) {
	epoch := time.Unix(30, 0)
	clocks := map[string]time.Time{
		"1970": epoch, "today": release, "a year later": release.AddDate(1, 0, 1),
		"ten years later": release.AddDate(10, 0, 0), "2090": time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	for from, first := range clocks {
		for to, second := range clocks {
			t.Run(from+" to "+to, func(t *testing.T) {
				dir := t.TempDir()
				p, clk := openAt(t, dir, first)
				server, client := certificate(t, p, APIServer(testNames())), certificate(t, p, KubeletClient("box"))
				if err := handshake(t, p, server, client, "localhost", first, first); err != nil {
					t.Fatalf("before the clock changed: %v", err)
				}
				clk.SetTime(second)
				if err := handshake(t, p, server, client, "box", second, second); err != nil {
					t.Errorf("after the clock changed under way: %v", err)
				}
				again, _ := openAt(t, dir, second)
				server, client = certificate(t, again, APIServer(testNames())), certificate(t, again, KubeletClient("box"))
				if err := handshake(t, again, server, client, "10.43.0.1", second, second); err != nil {
					t.Errorf("after a restart: %v", err)
				}
				if end := leaf(t, server).NotAfter; end.After(credible(second).Add(DefaultLifetime + 24*time.Hour)) {
					t.Errorf("lives until %v, which a wrong clock must not leave behind", end)
				}
			})
		}
	}
}

func TestClientWithClockAt1970ReachesServer(t *testing.T) {
	p, _ := openAt(t, t.TempDir(), release)
	server, client := certificate(t, p, APIServer(testNames())), certificate(t, p, Admin())
	if err := handshake(t, p, server, client, "192.0.2.7", release, time.Unix(5, 0)); err != nil {
		t.Error(err)
	}
}

func TestRenewalAtTwoThirds(t *testing.T) {
	for _, tc := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {DefaultLifetime/3*2 - time.Hour, false}, {DefaultLifetime/3*2 + time.Hour, true}, {DefaultLifetime + time.Hour, true}} {
		p, clk := openAt(t, t.TempDir(), release)
		c := certificate(t, p, Admin())
		before := leaf(t, c)
		renewed := 0
		c.OnRenew(func(*tls.Certificate) { renewed++ })
		clk.Step(tc.after)
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		after := leaf(t, c)
		if got := !after.Equal(before); got != tc.want || (renewed == 1) != tc.want {
			t.Errorf("after %v: renewed %v (%d times told), want %v", tc.after, got, renewed, tc.want)
		}
		onDisk, _ := Open(Config{Dir: p.dir, Clock: clk})
		if !leaf(t, certificate(t, onDisk, Admin())).Equal(after) {
			t.Errorf("after %v: the disk holds another certificate", tc.after)
		}
	}
}

func TestSetNamesIssuesAgainOnlyIfTheyDiffer(t *testing.T) {
	p, _ := openAt(t, t.TempDir(), release)
	c := certificate(t, p, APIServer(testNames()))
	before := leaf(t, c)
	same := testNames()
	same.Extra = []string{"192.0.2.99", "api.example.org", "api.example.org"}
	if err := c.SetNames(same.Names()); err != nil {
		t.Fatal(err)
	}
	if !leaf(t, c).Equal(before) {
		t.Error("issued again for the same names in another order")
	}
	moved := testNames()
	moved.NodeIPs = []netip.Addr{netip.MustParseAddr("198.51.100.3")}
	if certificate(t, p, APIServer(moved)) != c {
		t.Error("a second certificate for one identity")
	}
	now := leaf(t, c)
	if now.VerifyHostname("198.51.100.3") != nil || now.VerifyHostname("192.0.2.7") == nil {
		t.Errorf("names did not follow the node: %v", now.IPAddresses)
	}
	for _, n := range []string{"kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", "::1", "box", "10.43.0.1", "api.example.org", "192.0.2.99"} {
		if err := now.VerifyHostname(n); err != nil {
			t.Error(err)
		}
	}
}

func TestSigner(t *testing.T) {
	p, _ := openAt(t, t.TempDir(), release)
	for _, tc := range []struct {
		id   Identity
		want *Authority
		use  x509.ExtKeyUsage
	}{
		{APIServer(testNames()), p.Server, x509.ExtKeyUsageServerAuth},
		{KubeletServing("box", nil), p.Server, x509.ExtKeyUsageServerAuth},
		{KubeletClient("box"), p.Client, x509.ExtKeyUsageClientAuth},
		{Scheduler(), p.Client, x509.ExtKeyUsageClientAuth},
		{FrontProxyClient(), p.FrontProxy, x509.ExtKeyUsageClientAuth},
	} {
		l := leaf(t, certificate(t, p, tc.id))
		if _, err := l.Verify(x509.VerifyOptions{Roots: tc.want.Pool(), CurrentTime: release, KeyUsages: []x509.ExtKeyUsage{tc.use}}); err != nil {
			t.Errorf("%s: %v", tc.id.Name, err)
		}
		if len(l.ExtKeyUsage) != 1 {
			t.Errorf("%s: usages %v", tc.id.Name, l.ExtKeyUsage)
		}
	}
}
