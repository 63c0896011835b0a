package containerd_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"skiff/runtime/containerd"
)

// TestFigures measures, and prints, when asked to: SKIFF_FIGURES=1 go test -run Figures -v.
// With SKIFF_FIGURES=group the ten pods share a shim.
func TestFigures(t *testing.T) {
	if os.Getenv("SKIFF_FIGURES") == "" {
		t.Skip("measures only with SKIFF_FIGURES=1")
	}
	b := newBox(t)
	b.step(t, "figures-start")
	b.step(t, "figures")
}

func init() {
	steps["figures-start"] = func(t *testing.T, b *box) { readyTime(t, b, "empty data directory") }
	steps["figures"] = stepFigures
}

func readyTime(t *testing.T, b *box, what string) *containerd.Daemon {
	c := b.config(t)
	start := time.Now()
	d, err := containerd.New(c)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("daemon ready, %s: %d ms\n", what, time.Since(start).Milliseconds())
	t.Cleanup(func() { d.Close() })
	return d
}

func stepFigures(t *testing.T, b *box) {
	d := readyTime(t, b, "warm")
	if _, err := d.ImportImages(testContext(t), bytes.NewReader(dockerArchive(t, "busybox:test"))); err != nil {
		t.Fatal(err)
	}
	memory("idle, no pod", b)
	var steps [3][]time.Duration
	for i := range 20 {
		steps = timePod(t, d, b, fmt.Sprintf("p%d", i), steps)
		if i == 0 {
			memory("one pod", b)
		}
		if i == 9 {
			memory("ten pods", b)
		}
	}
	time.Sleep(5 * time.Second)
	daemon, shims := cpu(b)
	time.Sleep(60 * time.Second) // one period of the statistics
	daemon2, shims2 := cpu(b)
	fmt.Printf("idle with twenty pods, CPU per minute: daemon %d ms, shims %d ms\n", (daemon2 - daemon).Milliseconds(), (shims2 - shims).Milliseconds())
	for i, name := range []string{"sandbox", "container", "pod"} {
		slices.Sort(steps[i])
		fmt.Printf("%s start: p50 %d ms, min %d, max %d\n", name, steps[i][10].Milliseconds(), steps[i][0].Milliseconds(), steps[i][19].Milliseconds())
	}
}

// timePod starts a pod and adds how long its sandbox, its container and both took.
func timePod(t *testing.T, d *containerd.Daemon, b *box, name string, out [3][]time.Duration) [3][]time.Duration {
	conf := b.podConfig(name)
	if os.Getenv("SKIFF_FIGURES") == "group" {
		conf.Annotations = map[string]string{containerd.GroupAnnotation: "all"}
	}
	start := time.Now()
	p := b.runPod(t, d, conf)
	sandbox := time.Since(start)
	p.start(t, d, "c", nil, "sleep", "3600")
	pod := time.Since(start)
	for i, v := range []time.Duration{sandbox, pod - sandbox, pod} {
		out[i] = append(out[i], v)
	}
	return out
}

// memory prints resident and anonymous memory of this process and of the box's shims.
func memory(when string, b *box) {
	runtime.GC()
	debug.FreeOSMemory()
	time.Sleep(500 * time.Millisecond) // let what a start leaves running end
	rss, anon := smaps("self")
	fmt.Printf("%s: daemon %.1f MiB resident, %.1f anonymous, %d goroutines", when, rss, anon, runtime.NumGoroutine())
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var n, shimRSS, shimAnon float64
	for _, f := range procs {
		cmdline, _ := os.ReadFile(f)
		if strings.Contains(string(cmdline), "shim-runc-v2") && strings.Contains(string(cmdline), b.in.RunDir()) {
			r, a := smaps(filepath.Base(filepath.Dir(f)))
			n, shimRSS, shimAnon = n+1, shimRSS+r, shimAnon+a
		}
	}
	fmt.Printf("; %.0f shims %.1f MiB resident, %.1f anonymous\n", n, shimRSS, shimAnon)
}

// cpu is the time that this process and the box's shims have used.
func cpu(b *box) (daemon, shims time.Duration) {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range procs {
		pid := filepath.Base(filepath.Dir(f))
		cmdline, _ := os.ReadFile(f)
		isShim := strings.Contains(string(cmdline), "shim-runc-v2") && strings.Contains(string(cmdline), b.in.RunDir())
		if !isShim && pid != strconv.Itoa(os.Getpid()) {
			continue
		}
		// Nanoseconds, by the scheduler, of each thread.
		threads, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, th := range threads {
			data, _ := os.ReadFile(th)
			if f := strings.Fields(string(data)); len(f) > 0 {
				ns, _ := strconv.ParseInt(f[0], 10, 64)
				if isShim {
					shims += time.Duration(ns)
				} else {
					daemon += time.Duration(ns)
				}
			}
		}
	}
	return daemon, shims
}

func smaps(pid string) (rss, anon float64) {
	data, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		kb, _ := strconv.ParseFloat(f[1], 64)
		switch f[0] {
		case "Rss:":
			rss = kb / 1024
		case "Anonymous:":
			anon = kb / 1024
		}
	}
	return rss, anon
}
