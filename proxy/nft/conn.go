package nft

import (
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// bufferSize is that of the netlink socket: a transaction is one message, and
// with 10,000 services it has some MiB.
const bufferSize = 32 << 20

// dial opens a connection. A lasting one is kept for many transactions: when a
// netlink socket is closed, the kernel first waits until what the last
// transaction removed is unused everywhere, which takes it some 10 ms.
func dial(options ...nftables.ConnOption) (*nftables.Conn, error) {
	conn, err := nftables.New(append(options, nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(bufferSize), c.SetWriteBuffer(bufferSize))
	}))...)
	if err != nil {
		return nil, fmt.Errorf("open nftables: %w", err)
	}
	return conn, nil
}

// commit carries out what is queued. A connection on which that failed may still
// hold answers, or what was queued before an error: Reset opens another one.
func (t *Table) commit() error {
	err := t.conn.Flush()
	t.broken = t.broken || err != nil
	return err
}

// reconnect replaces a connection that is no longer to be trusted.
func (t *Table) reconnect() error {
	conn, err := dial(nftables.AsLasting())
	if err != nil {
		return err
	}
	_ = t.conn.CloseLasting()
	t.conn, t.broken = conn, false
	return nil
}

// Close closes the connection to the kernel, where the rules stay as they are.
func (t *Table) Close() error { return t.conn.CloseLasting() }
