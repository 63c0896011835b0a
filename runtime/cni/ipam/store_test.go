package ipam

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func mustRange(t *testing.T, cidr string) Range {
	t.Helper()
	r, err := NewRange(netip.MustParsePrefix(cidr))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func owner(i int) Owner { return Owner{fmt.Sprintf("container-%d", i), "eth0"} }

func TestAllocateUntilFull(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	r := mustRange(t, "10.1.2.0/29") // .1 is the gateway, .2 to .6 are free
	var got []string
	for i := range 5 {
		a, err := s.Allocate(owner(i), []Range{r}, Memory{})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a[0].String())
	}
	if want := []string{"10.1.2.2", "10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.2.6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("allocated %v, want %v", got, want)
	}
	if n, err := s.Free(r); n != 0 || err != nil {
		t.Errorf("Free = %d, %v", n, err)
	}
	if _, err := s.Allocate(owner(9), []Range{r}, Memory{}); !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "10.1.2.0/29") {
		t.Errorf("full range: error %v", err)
	}
	if a, err := s.Allocate(owner(3), []Range{r}, Memory{}); err != nil || a[0].String() != "10.1.2.5" {
		t.Errorf("same owner again: %v, %v; want 10.1.2.5", a, err)
	}
	// Freed addresses are given again as late as possible.
	for _, i := range []int{4, 1} {
		if err := s.Release(owner(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"10.1.2.3", "10.1.2.6"} {
		a, err := s.Allocate(Owner{"x" + want, "eth0"}, []Range{r}, Memory{})
		if err != nil || a[0].String() != want {
			t.Errorf("after release: %v, %v; want %s", a, err, want)
		}
	}
}

func TestDualStackIsAllOrNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	v4, v6 := mustRange(t, "10.1.2.0/24"), mustRange(t, "fd00:1::/126")
	for i, want := range [][]string{{"10.1.2.2", "fd00:1::2"}, {"10.1.2.3", "fd00:1::3"}} {
		a, err := s.Allocate(owner(i), []Range{v4, v6}, Memory{})
		if err != nil || a[0].String() != want[0] || a[1].String() != want[1] {
			t.Fatalf("allocated %v, %v; want %v", a, err, want)
		}
	}
	if _, err := s.Allocate(owner(2), []Range{v4, v6}, Memory{}); !errors.Is(err, ErrFull) {
		t.Fatalf("IPv6 is full: error %v", err)
	}
	if a, err := s.Of(owner(2)); err != nil || len(a) != 0 {
		t.Errorf("a failed allocation keeps %v, %v", a, err)
	}
}

func TestKeep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	r := mustRange(t, "10.1.2.0/24")
	for i := range 3 {
		if _, err := s.Allocate(owner(i), []Range{r}, Memory{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{".claim-123": "x", "10.1.2.77": "torn"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Keep([]Owner{owner(1), {"never-seen", "eth0"}}); err != nil {
		t.Fatal(err)
	}
	all, err := s.All()
	if want := map[netip.Addr]Owner{netip.MustParseAddr("10.1.2.3"): owner(1)}; err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("kept %v, %v; want %v", all, err, want)
	}
	if _, err := os.Stat(filepath.Join(dir, ".claim-123")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("junk is kept: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ subnet, gateway, want string }{
		{"10.0.0.0/24", "10.0.0.1", ""},
		{"10.0.0.0/30", "10.0.0.1", ""},
		{"10.0.0.0/31", "10.0.0.1", "too small"},
		{"10.0.0.7/24", "10.0.0.1", "did you mean 10.0.0.0/24"},
		{"10.0.0.0/24", "10.0.1.1", "not in subnet"},
		{"fd00::/64", "fd00::1", ""},
	} {
		err := Range{netip.MustParsePrefix(c.subnet), netip.MustParseAddr(c.gateway)}.Validate()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s, gateway %s: error %v, want %q", c.subnet, c.gateway, err, c.want)
		}
	}
}

// TestConcurrent has many owners come and go at once; no two may share an address.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	r := mustRange(t, "10.1.0.0/26")
	var mu sync.Mutex
	holders := map[netip.Addr]Owner{}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 10 {
				o := Owner{fmt.Sprintf("c-%d-%d", i, n), "eth0"}
				s := open(t, dir)
				a, err := s.Allocate(o, []Range{r}, Memory{})
				s.Close()
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if other, taken := holders[a[0]]; taken {
					t.Errorf("%s given to %v and %v", a[0], other, o)
				}
				holders[a[0]] = o
				delete(holders, a[0])
				mu.Unlock()
				s = open(t, dir)
				if err := s.Release(o); err != nil {
					t.Error(err)
				}
				s.Close()
			}
		})
	}
	wg.Wait()
	s := open(t, dir)
	defer s.Close()
	if all, err := s.All(); err != nil || len(all) != 0 {
		t.Errorf("left over: %v, %v", all, err)
	}
}

const envVictim = "SKIFF_IPAM_VICTIM"

// TestKilled kills processes that allocate and release, at random moments. What
// they leave must be readable, owned once, and reclaimable.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(envVictim); dir != "" {
		allocateForever(t, dir)
	}
	dir := t.TempDir()
	r := mustRange(t, "10.1.0.0/24")
	for i := range 15 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), envVictim+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it is at work
			t.Fatal(err)
		}
		time.Sleep(time.Duration(i*137) * time.Microsecond) // a moment as good as any
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()

		s := open(t, dir) // the lock died with its holder
		all, err := s.All()
		if err != nil {
			t.Fatal(err)
		}
		for a, o := range all {
			if o == (Owner{}) {
				t.Errorf("round %d: %s has a torn owner", i, a)
			}
		}
		if err := s.Keep(nil); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Free(r); err != nil || n != 253 {
			t.Errorf("round %d: %d addresses free after Keep, %v; want 253", i, n, err)
		}
		s.Close()
	}
}

func allocateForever(t *testing.T, dir string) {
	r := mustRange(t, "10.1.0.0/24")
	for i := 0; ; i++ {
		s := open(t, dir)
		if _, err := s.Allocate(owner(i%50), []Range{r}, Memory{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(owner((i + 25) % 50)); err != nil {
			t.Fatal(err)
		}
		s.Close()
		if i == 0 {
			fmt.Print("x")
		}
	}
}
