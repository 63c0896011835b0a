package agent

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"skiff/agent/api"
)

// serve runs the node's API until ctx ends.
func (a *Agent) serve(ctx context.Context) error {
	l, err := net.Listen("tcp", net.JoinHostPort(a.cfg.BindAddress, strconv.Itoa(a.cfg.Port)))
	if err != nil {
		return fmt.Errorf("listen for the node's API (`skiff check` says what is in the way): %w", err)
	}
	return api.Serve(ctx, l, a.apiConfig())
}

func (a *Agent) apiConfig() api.Config {
	return api.Config{
		NodeName: a.cfg.NodeName, Pods: a.pods, Runtime: a.deps.Runtime, Images: a.deps.Images, Client: a.deps.Client,
		Certificate: a.deps.Certificate, ClientCAs: a.deps.ClientCAs,
		Authenticator: a.deps.Authenticator, Authorizer: a.deps.Authorizer,
		DataDir: a.cfg.DataDir, Collectors: a.collectors(), Log: a.log,
	}
}
