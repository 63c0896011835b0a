package e2e

import (
	"fmt"
	"strings"
	"testing"

	"skiff/test/e2e/host"
)

// TestJoinRefused joins with what is wrong, each of which is one line that says
// so. The server and its node do not notice.
func TestJoinRefused(t *testing.T) {
	t.Parallel()
	lan := host.NewNetwork(t)
	server := host.New(t, host.Config{Network: lan, NodeName: "box"})
	server.Start()
	two := host.New(t, host.Config{Network: lan, NodeName: "two"})
	token := server.Token()
	parts := strings.Split(token, ".")
	with := func(i int, text string) string {
		changed := append([]string(nil), parts...)
		changed[i] = text
		return strings.Join(changed, ".")
	}
	other := host.New(t, host.Config{Network: lan, NodeName: "two"})
	for name, tc := range map[string]struct {
		server, token string
		code          int
		message       string
	}{
		"no token":       {server.URL(), "", 2, `^skiff: token: is missing`},
		"a short token":  {server.URL(), parts[3], 2, `^skiff: token: `},
		"no server":      {"", token, 2, `^skiff: server: is missing, write --server https://HOST:6443$`},
		"wrong secret":   {server.URL(), with(3, "0123456789abcdef"), 1, badToken},
		"unknown id":     {server.URL(), with(2, "abcdef"), 1, badToken},
		"another's hash": {server.URL(), with(1, strings.Repeat("0", len(parts[1]))), 1, `^skiff: join: https://.*: the server's authority has hash .*; check --server, and take the token from that cluster's server$`},
		"expired token":  {server.URL(), expiredToken(t, server), 1, badToken},
		"revoked token":  {server.URL(), revokedToken(t, server), 1, badToken},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, two.Run("skiff", "agent", "--server", tc.server, "--token", tc.token), tc.code, tc.message)
		})
	}
	two.StartAgent(server)
	refused(t, other.Run("skiff", "agent", "--server", server.URL(), "--token", token), 1, `^skiff: .*two.*--node-name`)
	if out := server.Kubectl("get", "nodes", "--no-headers"); strings.Count(out, " Ready ") != 2 {
		t.Errorf("the nodes: %q", out)
	}
}

// badToken is what a box with a token that does not count is told.
const badToken = `^skiff: join: the server does not take the token with the id \S+: it is wrong, has expired or was deleted; .skiff token create. on a server makes a new one$`

func createToken(h *host.Host, flags ...string) (token, id string) {
	token = strings.TrimSpace(h.Skiff(append([]string{"token", "create"}, flags...)...))
	return token, strings.Split(token, ".")[2]
}

// expiredToken is one whose time has come: the server has removed it.
func expiredToken(t *testing.T, server *host.Host) string {
	t.Helper()
	token, id := createToken(server, "--ttl", "1s")
	eventually(t, "the token is removed", func() error {
		if list := server.Skiff("token", "list"); strings.Contains(list, id) {
			return fmt.Errorf("tokens: %s", list)
		}
		return nil
	})
	return token
}

func revokedToken(t *testing.T, server *host.Host) string {
	t.Helper()
	token, id := createToken(server)
	server.Skiff("token", "delete", id)
	return token
}

// TestJoinLater joins a server that is not there yet: the agent says so, and joins
// when it is.
func TestJoinLater(t *testing.T) {
	t.Parallel()
	lan := host.NewNetwork(t)
	server := host.New(t, host.Config{Network: lan, NodeName: "box"})
	server.Start()
	two := host.New(t, host.Config{Network: lan, NodeName: "two"})
	server.Stop()
	two.LaunchAgent(server)
	eventually(t, "the agent says why it does not join", func() error { return logged(two, "connection refused") })
	server.Start()
	two.AwaitReady()
	if out := server.Kubectl("get", "node", "two", "--no-headers"); !strings.Contains(out, " Ready ") {
		t.Errorf("the node: %q", out)
	}
}

// logged tells whether a host's skiff has said something.
func logged(h *host.Host, what string) error {
	if !strings.Contains(h.Log(), what) {
		return fmt.Errorf("%s has not said %q", h.NodeName, what)
	}
	return nil
}
