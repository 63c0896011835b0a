package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// pace is the pause between two requests of one worker: enough requests to meet
// every moment of a rolling update, few enough for a small box.
const pace = 10 * time.Millisecond

// tally is what the workers of one URL count.
type tally struct {
	mu           sync.Mutex
	sent, failed int
	firstErrors  []error
}

func (t *tally) count(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if err == nil {
		return
	}
	t.failed++
	if len(t.firstErrors) < 3 {
		t.firstErrors = append(t.firstErrors, err)
	}
}

// load requests every URL until ctx ends.
func load(ctx context.Context, urls []string) error {
	tallies := make([]tally, len(urls))
	var workers sync.WaitGroup
	for i, url := range urls {
		for range 2 {
			workers.Go(func() { work(ctx, url, &tallies[i]) })
		}
	}
	workers.Wait()
	failed := 0
	for i := range tallies {
		t := &tallies[i]
		failed += t.failed
		fmt.Printf("%s: %d requests, %d failed\n", urls[i], t.sent, t.failed)
		for _, err := range t.firstErrors {
			fmt.Fprintln(os.Stderr, "  ", err)
		}
		if t.sent == 0 {
			return fmt.Errorf("%s was never asked", urls[i])
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d requests failed", failed)
	}
	return nil
}

// work uses a new connection for each request, as a service chooses a pod per
// connection. A request that has begun is finished after ctx ended.
func work(ctx context.Context, url string, t *tally) {
	c := &http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := do(context.WithoutCancel(ctx), c, http.MethodGet, url, "", nil)
		t.count(err)
	}
}
