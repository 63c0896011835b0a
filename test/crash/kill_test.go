package crash

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// rounds returns how often a test kills: a few times, or as the environment says.
func rounds(t *testing.T, short int) int {
	v := os.Getenv("SKIFF_CRASH_ROUNDS")
	if v == "" {
		return short
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("SKIFF_CRASH_ROUNDS: %v", err)
	}
	return n
}

// TestKill kills the store at random moments. Nothing that was acknowledged is
// lost, not even volatile changes.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	m := newModel(t)
	n := rounds(t, 6)
	for i := range n {
		live(t, m, life{dir: dir, kill: randomTime()})
		if t.Failed() {
			t.Fatalf("in life %d", i)
		}
	}
	live(t, m, life{dir: dir, whole: true})
	t.Logf("%d kills: %d writes acknowledged, %d events watched, watch resumed %d times, begun anew %d times",
		n, m.acks, m.events, m.resumes, m.relists)
}

// life is one run of the store.
type life struct {
	dir, boot string
	// lossy tells that volatile changes may have been lost before.
	lossy bool
	kill  moment
	// quiet has most changes be volatile.
	quiet bool
	// whole asks for a run that is told to end and does.
	whole bool
}

// moment is when a store is killed: so long after its start, or if afterReady
// after it can be used.
type moment struct {
	delay      time.Duration
	afterReady bool
}

// randomTime returns a moment of the start, or mostly one of its work.
func randomTime() moment {
	if rand.IntN(5) == 0 {
		return moment{delay: time.Duration(rand.IntN(40)) * time.Millisecond}
	}
	return moment{delay: time.Duration(rand.IntN(300)) * time.Millisecond, afterReady: true}
}

// live runs a child, ends it, and tells the model what it reported.
func live(t *testing.T, m *model, l life) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+l.dir, envBoot+"="+l.boot, fmt.Sprintf("%s=%d", envAfter, m.after))
	if l.quiet {
		cmd.Env = append(cmd.Env, envQuiet+"=1")
	}
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m.begin()
	kill := func() { _ = cmd.Process.Kill() }
	if !l.kill.afterReady && !l.whole {
		time.AfterFunc(l.kill.delay, kill)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		ready := m.ready
		m.line(lines.Text(), l.lossy)
		switch {
		case !m.ready || ready:
		case l.whole:
			_ = cmd.Process.Signal(syscall.SIGTERM)
		case l.kill.afterReady:
			time.AfterFunc(l.kill.delay, kill)
		}
	}
	err = cmd.Wait()
	if !m.ready && (l.kill.afterReady || l.whole) || l.whole && err != nil {
		t.Fatalf("the store did not work: %v", err)
	}
}
