package ipam

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// node is a node whose memory outlives its reboots.
type node struct {
	t      *testing.T
	memory string
	state  string
	ranges []Range
	n      int
}

func newNode(t *testing.T, cidrs ...string) *node {
	n := &node{t: t, memory: filepath.Join(t.TempDir(), "agent", "addresses")}
	for _, c := range cidrs {
		n.ranges = append(n.ranges, mustRange(t, c))
	}
	n.reboot()
	return n
}

func (n *node) reboot() { n.state = n.t.TempDir() }

// sandbox gives a pod a new sandbox, and returns that and its addresses.
func (n *node) sandbox(pod string) (Owner, []string) {
	n.t.Helper()
	s := open(n.t, n.state)
	defer s.Close()
	n.n++
	o := owner(n.n)
	addrs, err := s.Allocate(o, n.ranges, Memory{Dir: n.memory, Pod: pod})
	if err != nil {
		n.t.Fatal(err)
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return o, texts
}

func (n *node) release(o Owner) {
	n.t.Helper()
	s := open(n.t, n.state)
	defer s.Close()
	if err := s.Release(o); err != nil {
		n.t.Fatal(err)
	}
}

// want fails unless a pod's new sandbox has the addresses.
func (n *node) want(pod string, want ...string) Owner {
	n.t.Helper()
	o, got := n.sandbox(pod)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		n.t.Errorf("pod %s has %v, want %v", pod, got, want)
	}
	return o
}

// age has all notes be older than those that follow.
func (n *node) age() {
	n.t.Helper()
	entries, err := os.ReadDir(n.memory)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			n.t.Fatal(err)
		}
		if err := lutimes(filepath.Join(n.memory, e.Name()), info.ModTime().Add(-time.Hour)); err != nil {
			n.t.Fatal(err)
		}
	}
}

func TestPodsKeepTheirAddressesOverAReboot(t *testing.T) {
	n := newNode(t, "10.1.2.0/24", "fd00:1::/64")
	n.want("a", "10.1.2.2", "fd00:1::2")
	n.want("b", "10.1.2.3", "fd00:1::3")
	n.want("c", "10.1.2.4", "fd00:1::4")
	for range 2 {
		n.reboot()
		n.want("c", "10.1.2.4", "fd00:1::4")
		n.want("new", "10.1.2.5", "fd00:1::5") // although a and b are not back yet
		n.want("a", "10.1.2.2", "fd00:1::2")
		n.want("b", "10.1.2.3", "fd00:1::3")
	}
}

func TestNewSandboxKeepsTheAddress(t *testing.T) {
	n := newNode(t, "10.1.2.0/24")
	a := n.want("a", "10.1.2.2")
	n.want("b", "10.1.2.3")
	n.release(a)
	a = n.want("a", "10.1.2.2")
	// One that somebody has is not taken away.
	n.want("a", "10.1.2.4")
	// Whoever is not known gets what nobody had.
	n.release(a)
	n.want("", "10.1.2.5")
}

// When nothing else is left, it is the address whose pod has been away for longest.
func TestOldestNoteGoesFirst(t *testing.T) {
	n := newNode(t, "10.1.2.0/29") // .2 to .6
	owners := map[string]Owner{}
	for _, pod := range []string{"a", "b", "c", "d", "e"} {
		owners[pod], _ = n.sandbox(pod)
	}
	n.age()
	for _, pod := range []string{"a", "b", "d"} {
		n.release(owners[pod])
	}
	n.release(n.want("a", "10.1.2.2")) // used since
	n.want("x", "10.1.2.3")
	n.want("y", "10.1.2.5")
	n.want("z", "10.1.2.2")
	s := open(t, n.state)
	defer s.Close()
	if _, err := s.Allocate(owner(99), n.ranges, Memory{Dir: n.memory, Pod: "q"}); err == nil {
		t.Error("an address was given twice")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := Memory{Dir: t.TempDir(), Pod: "p"}
	a := netip.MustParseAddr("fd00::1")
	for range maxNotes + 20 {
		if err := m.remember([]netip.Addr{a}); err != nil {
			t.Fatal(err)
		}
		a = a.Next()
	}
	if got := len(m.notes()); got != maxNotes {
		t.Errorf("%d notes, want %d", got, maxNotes)
	}
}

// What is no note, and a folder that cannot be made, are no reason not to start pods.
func TestBrokenMemory(t *testing.T) {
	n := newNode(t, "10.1.2.0/24")
	n.want("a", "10.1.2.2")
	for _, name := range []string{"10.1.2.9", ".note", "junk"} {
		if err := os.WriteFile(filepath.Join(n.memory, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n.reboot()
	n.want("b", "10.1.2.3")
	n.want("a", "10.1.2.2")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.memory = filepath.Join(file, "addresses")
	n.want("c", "10.1.2.4")
}

// lutimes sets when a symbolic link itself was made.
func lutimes(path string, at time.Time) error {
	tv := unix.NsecToTimeval(at.UnixNano())
	return unix.Lutimes(path, []unix.Timeval{tv, tv})
}
