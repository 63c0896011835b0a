package join

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"skiff/server/clusterinfo"
	"skiff/server/pki"
)

// inJune runs a test in virtual time, which begins when certificates do.
func inJune(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)))
		f(t)
	})
}

// joined joins, or ends the test.
func joined(t *testing.T, cfg Config) *Member {
	t.Helper()
	m, err := Join(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.link.close)
	return m
}

// running runs the member until the test ends, or stop is called.
func running(t *testing.T, m *Member) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	synctest.Wait()
	return stop
}

func TestJoin(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		m := joined(t, f.config(dir))
		if cn := m.certificate().Leaf.Subject.CommonName; cn != "system:node:box" {
			t.Errorf("the certificate is that of %s", cn)
		}
		if !m.Info().Equal(f.info) || m.AuthorityHash() != f.token.Hash {
			t.Errorf("of the cluster is known %+v, %s", m.Info(), m.AuthorityHash())
		}
		m.SetAddresses([]netip.Addr{netip.MustParseAddr("192.0.2.7")})
		running(t, m)
		c, err := m.ServingCertificate(nil)
		if err != nil || c.Leaf.VerifyHostname("192.0.2.7") != nil || c.Leaf.VerifyHostname("box") != nil {
			t.Errorf("serving certificate: %+v, %v", c, err)
		}
		for _, file := range []string{keyFile, clientFile, infoFile} {
			if st, err := os.Stat(filepath.Join(dir, "agent", file)); err != nil || file == keyFile && st.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", file, st, err)
			}
		}
	})
}

// TestStartsWithoutServer: a member needs neither token nor server.
func TestStartsWithoutServer(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		before := joined(t, f.config(dir))
		f.set(func() { f.down = true })
		before.link.close()
		cfg := f.config(dir)
		cfg.Token = pki.Token{}
		m := joined(t, cfg)
		if !m.Info().Equal(f.info) || !before.key.Equal(m.key) {
			t.Errorf("knows %+v", m.Info())
		}
	})
}

// TestRefusals: each is one line that says what to do, at once.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, f *fakeServer, cfg *Config)
		want   string
	}{
		"wrong token": {func(_ *testing.T, _ *fakeServer, cfg *Config) {
			cfg.Token.ID, cfg.Token.Secret = "aaaaaa", "aaaaaaaaaaaaaaaa"
		},
			"join: the server does not take the token with the id aaaaaa: it is wrong, has expired or was deleted; `skiff token create` on a server makes a new one"},
		"revoked token": {func(_ *testing.T, f *fakeServer, cfg *Config) { f.revoked[cfg.Token.ID] = true },
			"it is wrong, has expired or was deleted"},
		"no token": {func(_ *testing.T, _ *fakeServer, cfg *Config) { cfg.Token = pki.Token{} }, "token: is missing"},
		"hash of another cluster": {func(_ *testing.T, _ *fakeServer, cfg *Config) { cfg.Token.Hash = strings.Repeat("0a", 32) },
			"join: https://192.0.2.1:6443: the server's authority has hash "},
		"somebody between": {func(t *testing.T, f *fakeServer, _ *Config) {
			other, err := pki.Open(pki.Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			f.showCertificateOf(other, pki.APIServer(pki.ServerNames{ClusterDomain: "cluster.local"}))
		}, "somebody is between this box and the server"},
		"a node for a server": {func(_ *testing.T, f *fakeServer, _ *Config) {
			f.showCertificateOf(f.pki, pki.KubeletServing(apiServerName, nil))
		}, "somebody is between this box and the server"},
		"name taken": {func(_ *testing.T, f *fakeServer, _ *Config) {
			f.keys["system:node:box"] = f.pki.Client.Cert.PublicKey
		}, "join: the server denied this node a certificate (NodeNameTaken): the name is taken by another box, choose another --node-name"},
		"clock ahead": {func(_ *testing.T, f *fakeServer, _ *Config) {
			time.Sleep(2 * pki.DefaultLifetime)
			f.ahead = -2 * pki.DefaultLifetime
		}, "join: this box's clock is 730 days ahead: it says 2028-05-31T00:00:00Z, the server's says 2026-06-01T00:00:00Z"},
		"no skiff": {func(_ *testing.T, _ *fakeServer, cfg *Config) { cfg.Server = "https://" }, "server: "},
	} {
		t.Run(name, func(t *testing.T) {
			inJune(t, func(t *testing.T) {
				f := newFake(t)
				cfg := f.config(t.TempDir())
				tc.change(t, f, &cfg)
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				_, err := Join(ctx, cfg)
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %s", err, tc.want)
				}
				if err != nil && cfg.Token.Secret != "" && strings.Contains(err.Error(), cfg.Token.Secret) {
					t.Errorf("the secret is shown: %v", err)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("said after %s", took)
				}
			})
		})
	}
}

// TestOtherCluster: a box that has joined one does not join another.
func TestOtherCluster(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, other, dir := newFake(t), newFake(t), t.TempDir()
		joined(t, f.config(dir)).link.close()
		_, err := Join(t.Context(), other.config(dir))
		if err == nil || !strings.Contains(err.Error(), "token: it is for another cluster than the one that this box has joined") {
			t.Errorf("error %v", err)
		}
	})
}

// TestUnreachable: it keeps trying, and says so once a minute.
func TestUnreachable(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f := newFake(t)
		f.down = true
		var said bytes.Buffer
		cfg := f.config(t.TempDir())
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		time.AfterFunc(150*time.Second, func() { f.set(func() { f.down = false }) })
		joined(t, cfg)
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[2], "dial tcp 192.0.2.1:6443: connect: connection refused") || !strings.Contains(lines[3], "answers again") {
			t.Errorf("said:\n%s", said.String())
		}
	})
}

func TestToldToStop(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f := newFake(t)
		f.down = true
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := Join(ctx, f.config(t.TempDir())); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// short is the life of certificates where time passes while connections are open,
// which are pinged.
const short = 36 * time.Hour

// TestRenewal: certificates are renewed in the last third of their life, for the
// same key.
func TestRenewal(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		f.life = short
		m := joined(t, f.config(dir))
		m.SetAddresses([]netip.Addr{netip.MustParseAddr("192.0.2.7")})
		stop := running(t, m)
		first := m.certificate().Leaf
		time.Sleep(short*2/3 - time.Minute)
		if m.certificate().Leaf != first {
			t.Error("renewed before the last third of its life")
		}
		time.Sleep(short/6 + 2*checkInterval)
		c := m.certificate().Leaf
		if c == first || !m.key.PublicKey.Equal(c.PublicKey) || time.Until(c.NotAfter) < short*2/3 {
			t.Errorf("valid until %s, %v", c.NotAfter, c.Subject)
		}
		if s, err := m.ServingCertificate(nil); err != nil || time.Until(s.Leaf.NotAfter) < short*2/3 {
			t.Errorf("the serving certificate: %+v, %v", s, err)
		}
		// Two lives later it still is a node, and no request was one too many.
		time.Sleep(2 * short)
		if err := m.fetchInfo(t.Context()); err != nil {
			t.Error(err)
		}
		stop()
		f.mu.Lock()
		defer f.mu.Unlock()
		if n := f.asked["system:node:box kubernetes.io/kube-apiserver-client-kubelet"]; n < 3 || n > 5 {
			t.Errorf("%d renewals in three lives", n)
		}
	})
}

// TestRenewalWithoutServer: it is tried until the server is back; an ended
// certificate is replaced by means of the token at the next start.
func TestRenewalWithoutServer(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		f.life = short
		m := joined(t, f.config(dir))
		stop := running(t, m)
		f.cut()
		time.Sleep(short * 11 / 12)
		f.set(func() { f.down = false })
		time.Sleep(lastRenewal)
		if left := time.Until(m.certificate().Leaf.NotAfter); left < short*9/10 {
			t.Errorf("%s left", left)
		}
		stop()
		f.cut()
		f.set(func() { f.down = false })
		time.Sleep(2 * short)
		cfg := f.config(dir)
		cfg.Token = pki.Token{}
		if _, err := Join(t.Context(), cfg); err == nil || !strings.HasPrefix(err.Error(), "token: the node's certificate ended on 2026-06-") {
			t.Errorf("without a token: %v", err)
		}
		if again := joined(t, f.config(dir)); !again.key.Equal(m.key) {
			t.Error("another key")
		}
	})
}

// TestClockBehind: a box that boots in 1970 joins all the same, and renews by the
// server's clock.
func TestClockBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in 2000
		f, dir := newFake(t), t.TempDir()
		f.life = short
		march := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
		f.ahead = time.Until(march)
		var said bytes.Buffer
		cfg := f.config(dir)
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		m := joined(t, cfg)
		if !strings.Contains(said.String(), "days behind") {
			t.Errorf("said %q", said.String())
		}
		running(t, m)
		time.Sleep(short)
		if until := m.certificate().Leaf.NotAfter; until.Before(march.Add(short * 3 / 2)) {
			t.Errorf("valid until %s", until)
		}
	})
}

// TestRefusedCertificate: a node that was deleted and whose certificate is not
// taken joins again if it has a token.
func TestRefusedCertificate(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		m := joined(t, f.config(dir))
		f.set(func() { f.revoked[m.certificate().Leaf.SerialNumber.String()] = true })
		m.link.close()
		cfg := f.config(dir)
		cfg.Token = pki.Token{}
		if _, err := Join(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "does not take this node's certificate any more") {
			t.Errorf("without a token: %v", err)
		}
		if again := joined(t, f.config(dir)); again.certificate().Leaf.SerialNumber.Cmp(m.certificate().Leaf.SerialNumber) == 0 {
			t.Error("the same certificate")
		}
	})
}

// TestFollows: what is known of the cluster, and the server's address, are
// followed, and survive a restart.
func TestFollows(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		m := joined(t, f.config(dir))
		told := make(chan clusterinfo.Info, 1)
		m.OnInfo(func(i clusterinfo.Info) { told <- i })
		stop := running(t, m)
		f.set(func() { f.info.Servers = []string{"https://192.0.2.9:6443"} })
		if i := <-told; i.Servers[0] != "https://192.0.2.9:6443" {
			t.Errorf("told %+v", i)
		}
		if s := m.Servers(); s[0] != "192.0.2.9:6443" {
			t.Errorf("servers %q", s)
		}
		m.SetAddresses([]netip.Addr{netip.MustParseAddr("192.0.2.8")})
		synctest.Wait()
		if c, err := m.ServingCertificate(nil); err != nil || c.Leaf.VerifyHostname("192.0.2.8") != nil {
			t.Errorf("serving certificate: %v", err)
		}
		stop()
		f.cut()
		if i := joined(t, f.config(dir)).Info(); i.Servers[0] != "https://192.0.2.9:6443" {
			t.Errorf("after a restart %+v", i)
		}
	})
}

// TestNodeDeleted: a member whose Node was deleted asks for its name again before
// it starts, with no token, and is refused if another box has it.
func TestNodeDeleted(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f, dir := newFake(t), t.TempDir()
		cfg := f.config(dir)
		joined(t, cfg).link.close()
		cfg.Token = pki.Token{}
		const claim = "system:node:box kubernetes.io/kube-apiserver-client-kubelet"
		for i, deleted := range []bool{false, true} {
			f.set(func() { f.deleted = deleted })
			joined(t, cfg).link.close()
			if f.asked[claim] != i {
				t.Errorf("the Node was deleted: %v; asked %d times for the name", deleted, f.asked[claim])
			}
		}
		f.set(func() { f.keys["system:node:box"] = f.pki.Client.Cert.PublicKey })
		_, err := Join(t.Context(), cfg)
		if err == nil || !strings.HasPrefix(err.Error(), "join again, as the node was deleted: ") || !strings.HasSuffix(err.Error(), "choose another --node-name") {
			t.Errorf("of a name that another box has now: %v", err)
		}
	})
}

// TestDialAfterClose: a connection that comes when nobody waits any more is closed.
func TestDialAfterClose(t *testing.T) {
	inJune(t, func(t *testing.T) {
		f := newFake(t)
		m := joined(t, f.config(t.TempDir()))
		m.Close()
		if conn, err := m.dial(t.Context(), "tcp", "192.0.2.1:6443"); !errors.Is(err, net.ErrClosed) || conn != nil {
			t.Errorf("%v, %v", conn, err)
		}
	})
}
