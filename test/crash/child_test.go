package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"skiff/store"
	"skiff/store/cluster"
)

// The environment of a child process.
const (
	envDir   = "SKIFF_CRASH_DIR"
	envAfter = "SKIFF_CRASH_AFTER"
	envBoot  = "SKIFF_CRASH_BOOT"
	// envQuiet has the writers of durable changes end after a few, so that what
	// is volatile stays unsynced.
	envQuiet = "SKIFF_CRASH_QUIET"
)

const (
	writers = 64
	// keysPerWriter are written in turn. The writers with an even number make
	// volatile changes.
	keysPerWriter = 5
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child writes until it is killed, or told to end by SIGTERM. It reports lines:
//
//	state KEY VALUE REVISION      a key as it was found at the start
//	ready REVISION                the end of these, and that state's revision
//	ack KEY VALUE REVISION        a write that the store acknowledged
//	event KEY VALUE REVISION PREV a change seen by the watch
//	relist                        the watch could not go on where it was
func child(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := cluster.Open(cluster.Config{
		Dir:    dir,
		BootID: os.Getenv(envBoot),
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		// Small enough for flushes, snapshots and moves to happen all the time.
		JournalSize: 16 << 10, FlushEntries: 40, SnapshotEntries: 60, TrailingLogs: 10,
	})
	if err != nil {
		return err
	}
	out := &reporter{w: os.Stdout}
	next, err := dump(ctx, s, out)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() { watch(ctx, s, out) })
	for w := range writers {
		wg.Go(func() { write(ctx, s, out, w, next[w]) })
	}
	wg.Wait()
	return s.Close()
}

// reporter writes whole lines; each is in the pipe, and so survives the process,
// when line returns.
type reporter struct {
	mu sync.Mutex
	w  io.Writer
}

func (r *reporter) line(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(r.w, format+"\n", args...)
}

// dump reports what is there and returns the next number of each writer.
func dump(ctx context.Context, s store.Store, out *reporter) (map[int]int, error) {
	res, err := s.List(ctx, "pods/", store.ListOptions{})
	if err != nil {
		return nil, err
	}
	next := map[int]int{}
	for _, it := range res.Items {
		w, n := parse(string(it.Value))
		next[w] = max(next[w], n+1)
		out.line("state %s %s %d", it.Key, it.Value, it.Revision)
	}
	out.line("ready %d", res.Revision)
	return next, nil
}

// parse takes a value, writer.number, apart.
func parse(value string) (writer, number int) {
	w, n, _ := strings.Cut(value, ".")
	writer, _ = strconv.Atoi(w)
	number, _ = strconv.Atoi(n)
	return writer, number
}

func write(ctx context.Context, s store.Store, out *reporter, w, n int) {
	last := math.MaxInt
	if os.Getenv(envQuiet) != "" && !volatile(w) {
		last = n + 3
	}
	for ; ctx.Err() == nil && n < last; n++ {
		key, value := keyOf(w, n), fmt.Sprintf("%d.%d", w, n)
		revs, err := s.Txn(ctx, store.Op{Key: key, Value: []byte(value), Expect: store.AnyRevision, Volatile: volatile(w)})
		switch {
		case err == nil:
			out.line("ack %s %s %d", key, value, revs[0])
		case ctx.Err() != nil || errors.Is(err, store.ErrClosed):
			return
		default:
			out.line("error %v", err)
			return
		}
	}
}

func keyOf(writer, number int) string { return fmt.Sprintf("pods/%d/%d", writer, number%keysPerWriter) }

func volatile(writer int) bool { return writer%2 == 0 }

func watch(ctx context.Context, s store.Store, out *reporter) {
	after, _ := strconv.ParseInt(os.Getenv(envAfter), 10, 64)
	w, err := s.Watch("pods/", after)
	if errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrFutureRevision) {
		w, err = relist(ctx, s, out)
	}
	if err != nil {
		out.line("error %v", err)
		return
	}
	defer func() { w.Close() }()
	for {
		batch, err := w.Next(ctx)
		switch {
		case errors.Is(err, store.ErrCompacted):
			w.Close()
			if w, err = relist(ctx, s, out); err != nil {
				return
			}
			continue
		case err != nil:
			return
		}
		for _, e := range batch.Events {
			out.line("event %s %s %d %d", e.Key, e.Value, e.Revision, e.PrevRevision)
		}
	}
}

// relist does what a client does whose watch cannot go on: the state as a list,
// and a watch behind it.
func relist(ctx context.Context, s store.Store, out *reporter) (store.Watcher, error) {
	res, err := s.List(ctx, "pods/", store.ListOptions{})
	if err != nil {
		return nil, err
	}
	out.mu.Lock()
	defer out.mu.Unlock()
	fmt.Fprintln(out.w, "relist")
	for _, it := range res.Items {
		fmt.Fprintf(out.w, "listed %s %s %d\n", it.Key, it.Value, it.Revision)
	}
	fmt.Fprintf(out.w, "relisted %d\n", res.Revision)
	return s.Watch("pods/", res.Revision)
}
