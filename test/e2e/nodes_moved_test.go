package e2e

import (
	"fmt"
	"testing"

	"skiff/test/e2e/host"
)

// renumber gives a node another address, which all learn.
func (c *eventful) renumber(t *testing.T) {
	before := c.web()
	c.two.Renumber()
	c.known(t, c.two)
	c.whole(t)
	c.untouched(t, before)
}

// renumberServer gives the server another address, which its name leads to from
// then on.
func (c *eventful) renumberServer(t *testing.T) {
	before := c.web()
	c.node.Renumber()
	c.names.set(serverName+".", c.node.Addr)
	c.known(t, c.node)
	c.whole(t)
	c.untouched(t, before)
}

// known waits until the cluster knows a node's address.
func (c *eventful) known(t *testing.T, h *host.Host) {
	t.Helper()
	eventually(t, "the new address of "+h.NodeName+" is known", func() error {
		r := c.node.Run("kubectl", "get", "node", h.NodeName, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
		if r.Code != 0 || r.Stdout != h.Addr.String() {
			return fmt.Errorf("%q, not %s %s", r.Stdout, h.Addr, r.Stderr)
		}
		return nil
	})
}
