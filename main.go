// Command skiff is a Kubernetes cluster in one small process; see package cli
// for its commands.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"skiff/cli"
)

func main() { os.Exit(run()) }

// run ends the context on the first signal, so that everything stops in order;
// a second signal ends the process at once, as without a handler.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, os.Args, os.Stdout, os.Stderr)
}
