package host

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// notifications is a socket for sd_notify(3) messages. ready is closed at the
// first that tells of readiness.
type notifications struct {
	conn    *net.UnixConn
	address string
	ready   chan struct{}
}

func listenForReady(dir string) (*notifications, error) {
	n := &notifications{address: filepath.Join(dir, "notify"), ready: make(chan struct{})}
	if err := os.Remove(n.address); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var err error
	n.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: n.address, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for readiness: %w", err)
	}
	return n, nil
}

// read reads until the socket is closed.
func (n *notifications) read() {
	once := sync.OnceFunc(func() { close(n.ready) })
	for message := make([]byte, 4096); ; {
		size, err := n.conn.Read(message)
		if err != nil {
			return
		}
		if strings.HasPrefix(string(message[:size]), "READY=1") {
			once()
		}
	}
}
