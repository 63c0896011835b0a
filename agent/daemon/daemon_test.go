package daemon

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"skiff/datadir"
	"skiff/runtime/containerd"
	"skiff/runtime/cri/fake"
	"skiff/server/pki"
)

// story is what happened to an agent, in order.
type story struct {
	stats.Handler

	mu      sync.Mutex
	events  []string
	summary Summary
	ready   chan struct{}
	// letGo is closed when the runtime's only client has gone.
	letGo chan struct{}
}

func newStory() *story { return &story{ready: make(chan struct{}), letGo: make(chan struct{})} }

func (s *story) tell(event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, event)
}

func (s *story) told() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// Step implements Observer.
func (s *story) Step(what string, _ time.Duration) { s.tell(what) }

// Ready implements Observer.
func (s *story) Ready(sum Summary) {
	s.tell("ready")
	s.summary = sum
	close(s.ready)
}

// Stopping implements Observer.
func (s *story) Stopping() { s.tell("stopping") }

// TagConn, TagRPC, HandleRPC and HandleConn implement stats.Handler, by which the
// runtime tells of its connections.
func (s *story) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (s *story) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (s *story) HandleRPC(context.Context, stats.RPCStats)                         {}
func (s *story) HandleConn(_ context.Context, e stats.ConnStats) {
	if _, ended := e.(*stats.ConnEnd); ended {
		s.tell("runtime let go")
		close(s.letGo)
	}
}

// serveRuntime is a container runtime behind a socket.
func serveRuntime(t *testing.T, s *story) (endpoint string) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	rt := fake.New(fake.Options{})
	t.Cleanup(rt.Close)
	t.Cleanup(rt.Serve(l, grpc.StatsHandler(s)))
	return "unix://" + socket
}

// newConfig is that of an agent which joins, with a runtime that tells the story.
func newConfig(t *testing.T, s *story, token string) Config {
	t.Helper()
	parsed, err := pki.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Cleanup(func() {
		if err := containerd.Purge(context.Background(), containerd.PurgeFor(dir)); err != nil {
			t.Error(err)
		}
	})
	return Config{
		DataDir: dir, NodeName: "two", NodeIPs: []netip.Addr{nodeAddr}, Server: "https://" + serverAddr.String() + ":6443", Token: parsed,
		ContainerRuntimeEndpoint: serveRuntime(t, s),
	}
}

// TestRun: an agent starts from nothing to Ready, and leaves nothing in its process
// when it stops. What it stands on goes last. Its folder is an agent's from then
// on.
func TestRun(t *testing.T) {
	token := startServer(t)
	s := newStory()
	cfg := newConfig(t, s, token)
	before := goroutines()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, s) }()
	select {
	case <-s.ready:
	case err := <-ended:
		t.Fatalf("ended after %q: %v", s.told(), err)
	}
	if s.summary.Node != "two" || s.summary.Server != cfg.Server || s.summary.Healthy() != nil {
		t.Errorf("summary %+v, health %v", s.summary, s.summary.Healthy())
	}
	if owner, err := datadir.OwnerOf(cfg.DataDir); err != nil || owner == nil || owner.Role != datadir.Agent {
		t.Errorf("the folder's owner is %v, %v", owner, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("told to stop: %v", err)
	}
	<-s.letGo
	events := s.told()
	starts := events[:min(2, len(events))]
	slices.Sort(starts)
	if want := []string{"container runtime", "joined", "ready", "stopping", "runtime let go"}; !slices.Equal(events, want) {
		t.Errorf("it went %q, want %q", events, want)
	}
	leftBehind(t, before)
	if owner, err := datadir.OwnerOf(cfg.DataDir); err != nil || owner != nil {
		t.Errorf("after the end the folder's owner is %v, %v", owner, err)
	}
	m, err := datadir.ReadMarker(cfg.DataDir)
	if err != nil || m.Role != datadir.Agent || m.Node != "two" || m.Authority != cfg.Token.Hash || m.RuntimeEndpoint != cfg.ContainerRuntimeEndpoint {
		t.Errorf("the marker is %+v, %v", m, err)
	}
	if _, err := datadir.Open(cfg.DataDir, datadir.Server); err == nil || !strings.Contains(err.Error(), "is that of a skiff agent, not of a skiff server") {
		t.Errorf("as a server's folder: %v", err)
	}
}

// TestRunFails: a part that cannot work ends the whole agent, in one line that says
// which and what to do, and nothing of it stays in the process.
func TestRunFails(t *testing.T) {
	token := startServer(t)
	for name, tc := range map[string]struct {
		change func(*testing.T, *Config)
		err    string
	}{
		"the port of the node's API is taken": {func(t *testing.T, c *Config) {
			l, err := net.Listen("tcp", nodeAddr.String()+":10250")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}, "^listen for the node's API \\(`skiff check` says what is in the way\\): .*:10250: bind: address already in use$"},
		"an address that the box has not": {func(_ *testing.T, c *Config) { c.NodeAPIAddress = netip.MustParseAddr("192.0.2.77") },
			`^listen for the node's API .* 192\.0\.2\.77:10250: bind: cannot assign requested address$`},
		"no runtime's address": {func(_ *testing.T, c *Config) { c.ContainerRuntimeEndpoint = "tcp://127.0.0.1:1" },
			`^container-runtime-endpoint: .* it must be like unix:///run/runtime.sock$`},
		"another cluster's token": {func(_ *testing.T, c *Config) { c.Token.Hash = strings.Repeat("0", len(c.Token.Hash)) }, `^join: .*; check --server`},
		"no token":                {func(_ *testing.T, c *Config) { c.Token = pki.Token{} }, "^token: is missing, `skiff token create` on a server makes one$"},
		"a server's folder": {func(t *testing.T, c *Config) {
			if err := os.WriteFile(filepath.Join(c.DataDir, "version"), []byte(`{"format":1,"role":"server"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "^data-dir: .* is that of a skiff server, not of a skiff agent: choose another folder, or remove what is in it with `skiff uninstall`$"},
		"another node's folder": {func(t *testing.T, c *Config) {
			if err := os.WriteFile(filepath.Join(c.DataDir, "version"), []byte(`{"format":1,"role":"agent","node":"three"}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, `^node-name: .* belongs to node "three", start it with --node-name three`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			cfg := newConfig(t, s, token)
			cfg.NodeName = strings.ToLower(strings.NewReplacer(" ", "-", "'", "").Replace(name)) // each is a box of its own
			tc.change(t, &cfg)
			before := goroutines()
			err := Run(t.Context(), cfg, s)
			if err == nil || !regexp.MustCompile(tc.err).MatchString(err.Error()) {
				t.Errorf("error %v, want one like %q", err, tc.err)
			}
			if slices.Contains(s.told(), "ready") {
				t.Errorf("it went %q", s.told())
			}
			leftBehind(t, before)
		})
	}
}

// TestRunStops: an agent that is told to stop while it looks for its server does.
func TestRunStops(t *testing.T) {
	token := startServer(t)
	s := newStory()
	cfg := newConfig(t, s, token)
	mute, err := net.Listen("tcp", serverAddr.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	cfg.Server = "https://" + mute.Addr().String()
	before := goroutines()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg, s) }()
	conn, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("error %v", err)
	}
	if slices.Contains(s.told(), "joined") {
		t.Errorf("it went %q", s.told())
	}
	leftBehind(t, before)
}

// goroutines are those of this process: their stacks, by their numbers.
func goroutines() map[string]string {
	all := make([]byte, 4<<20)
	all = all[:runtime.Stack(all, true)]
	found := map[string]string{}
	for stack := range strings.SplitSeq(string(all), "\n\n") {
		number, _, _ := strings.Cut(stack, " [")
		found[number] = stack
	}
	return found
}

// leftBehind fails if goroutines stay that were not there before. The ends of
// connections are noticed a moment later.
func leftBehind(t *testing.T, before map[string]string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left = left[:0]
		for number, stack := range goroutines() {
			if _, was := before[number]; !was {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	t.Errorf("%d goroutines stay:\n%s", len(left), strings.Join(left, "\n\n"))
}
