package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// pace is the pause between two questions of a load.
const pace = 10 * time.Millisecond

// firstPort is below those that the kernel gives by itself.
const firstPort = 20000

// load asks until ctx ends. It fails if one question had no answer.
func load(ctx context.Context, out io.Writer, network, address string) error {
	question := questions[network]
	if question == nil {
		return fmt.Errorf("load: %q is neither http nor udp", network)
	}
	sent, failed := 0, 0
	if network == "udp" {
		// A datagram from a port that was used before is rightly for the one that
		// answered there, who may have ended.
		question = func(ctx context.Context, address string) (string, error) {
			return askUDPFrom(ctx, firstPort+sent, address)
		}
	}
	for ticker := time.NewTicker(pace); ; <-ticker.C {
		if ctx.Err() != nil {
			break
		}
		// A question that was asked is answered, also at the end.
		if _, err := question(context.WithoutCancel(ctx), address); err != nil {
			fmt.Fprintln(os.Stderr, time.Now().Format(time.StampMilli), err)
			failed++
		}
		sent++
	}
	fmt.Fprintf(out, "%d asked, %d failed\n", sent, failed)
	if failed > 0 || sent == 0 {
		return fmt.Errorf("%d of %d questions had no answer", failed, sent)
	}
	return nil
}
