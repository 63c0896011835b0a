// Package remote is a cri.Runtime and cri.Images behind a CRI socket, such as
// that of CRI-O or of a containerd of its own:
//
//	c, err := remote.Dial("unix:///run/crio/crio.sock")
//	agent.Deps{Runtime: c, Images: c}
package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"skiff/runtime/cri"
)

// maxMessage is how much one answer may hold; lists of containers are long.
const maxMessage = 16 << 20

// Client is a connection to a runtime.
type Client struct {
	conn    *grpc.ClientConn
	runtime runtimeapi.RuntimeServiceClient
	images  runtimeapi.ImageServiceClient
}

var (
	_ cri.Runtime = (*Client)(nil)
	_ cri.Images  = (*Client)(nil)
)

// Dial returns a client for an endpoint: "unix:///path" or a bare path. It does
// not wait for the runtime; calls fail as Unavailable until it answers.
func Dial(endpoint string) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("container runtime endpoint %q: %w", endpoint, err)
	}
	switch {
	case u.Scheme == "" && strings.HasPrefix(endpoint, "/"):
		endpoint = "unix://" + endpoint
	case u.Scheme != "unix" || !strings.HasPrefix(u.Path, "/"):
		return nil, fmt.Errorf("container runtime endpoint %q: it must be like unix:///run/runtime.sock", endpoint)
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("container runtime endpoint %q: %w", endpoint, err)
	}
	return &Client{conn: conn, runtime: runtimeapi.NewRuntimeServiceClient(conn), images: runtimeapi.NewImageServiceClient(conn)}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Events implements cri.Runtime.
func (c *Client) Events(ctx context.Context, subscribed func(), handle func(*runtimeapi.ContainerEventResponse)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		return err
	}
	waitSubscribed(stream)
	subscribed()
	for {
		ev, err := stream.Recv()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return errors.New("the runtime ended the stream of events")
		case err != nil:
			return err
		}
		handle(ev)
	}
}

// subscribeTime is how long a server gets to tell that it has subscribed.
const subscribeTime = 100 * time.Millisecond

// waitSubscribed waits for the header, which some servers send when they have
// subscribed and others only with the first event. Should an event slip through
// after that time, the agent's regular list finds what it was about.
func waitSubscribed(stream grpc.ClientStream) {
	header := make(chan struct{})
	go func() {
		defer close(header)
		stream.Header() // ends with the stream at the latest
	}()
	timer := time.NewTimer(subscribeTime)
	defer timer.Stop()
	select {
	case <-header:
	case <-timer.C:
	}
}
