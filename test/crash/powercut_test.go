//go:build !386 && !arm

// go-fuse does not compile for 32 bits.

package crash

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestPowerCut runs the store on a disk that loses, at random moments, what was
// not synced. Nothing acknowledged is lost but volatile changes, and of these no
// revision comes back with another content.
func TestPowerCut(t *testing.T) {
	fuseAvailable(t)
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	d := newDisk()
	m := newModel(t)
	n := rounds(t, 6)
	for i := range n {
		path, unmount := d.mount(t)
		live(t, m, life{dir: path, boot: fmt.Sprint("boot", i), lossy: i > 0, quiet: i%2 == 0, kill: randomTime()})
		unmount()
		if t.Failed() {
			t.Fatalf("in life %d", i)
		}
		d.cut(rnd)
	}
	path, unmount := d.mount(t)
	live(t, m, life{dir: path, boot: "last", lossy: true, whole: true})
	unmount()
	t.Logf("%d power cuts: %d writes acknowledged, %d events watched, watch resumed %d times, begun anew %d times",
		n, m.acks, m.events, m.resumes, m.relists)
}
