// Package wire is what both ends of a tunnel agree on. The agent asks
//
//	GET /skiff/v1/tunnel HTTP/1.1
//	Connection: Upgrade
//	Upgrade: skiff-tunnel/1
//
// with its node's certificate. After the answer 101 both speak yamux, and only the
// server opens streams. Each begins with a request and its answer, and is from
// then on the connection that was asked for:
//
//	request: kind (1 byte: 1 the node's API, 2 an address), length (1), address
//	answer:  code (1 byte: 0 connected, 1 not allowed, 2 failed), length (2, big-endian), text
//
// A stream that the server closes is closed as a whole, in the node as well. One
// that the node closes is half closed: a pod that has sent all may still read.
package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strings"
	"unicode/utf8"
)

const (
	// Path is where a server takes tunnels.
	Path = "/skiff/v1/tunnel"
	// Protocol is what the connection is upgraded to.
	Protocol = "skiff-tunnel/1"
)

const (
	kindAPI     = 1
	kindAddress = 2
)

// maxText bounds the text of an answer.
const maxText = 1024

// WriteRequest asks for a connection to an address, or to the node's API if that is
// the zero AddrPort.
func WriteRequest(w io.Writer, addr netip.AddrPort) error {
	kind, text := byte(kindAPI), ""
	if addr.IsValid() {
		kind, text = kindAddress, addr.String()
	}
	if len(text) > math.MaxUint8 {
		return fmt.Errorf("address %.40q... is too long", text) // a zone of IPv6
	}
	_, err := w.Write(append([]byte{kind, byte(len(text))}, text...))
	return err
}

// ReadRequest is the other end of WriteRequest.
func ReadRequest(r io.Reader) (netip.AddrPort, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read a request: %w", err)
	}
	text := make([]byte, head[1])
	if _, err := io.ReadFull(r, text); err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the address of a request: %w", err)
	}
	switch {
	case head[0] == kindAPI && len(text) == 0:
		return netip.AddrPort{}, nil
	case head[0] == kindAddress:
		addr, err := netip.ParseAddrPort(string(text))
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("request for an address: %w", err)
		}
		return addr, nil
	}
	return netip.AddrPort{}, fmt.Errorf("request of unknown kind %d with %d bytes", head[0], len(text))
}

// Code tells how a request ended.
type Code byte

// The codes of answers.
const (
	Connected  Code = 0
	NotAllowed Code = 1
	Failed     Code = 2
)

// Refusal is a node's answer that is not Connected.
type Refusal struct {
	Code Code
	Text string
}

// Error implements error, in the node's words.
func (r *Refusal) Error() string { return r.Text }

// WriteAnswer answers a request; a text that is too long is cut.
func WriteAnswer(w io.Writer, code Code, text string) error {
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	b := binary.BigEndian.AppendUint16([]byte{byte(code)}, uint16(len(text)))
	_, err := w.Write(append(b, text...))
	return err
}

// ReadAnswer is the other end of WriteAnswer. It returns a *Refusal for an answer
// that refuses.
func ReadAnswer(r io.Reader) error {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	n := binary.BigEndian.Uint16(head[1:])
	if n > maxText {
		return fmt.Errorf("answer of %d bytes, more than %d", n, maxText)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("read the text of an answer: %w", err)
	}
	switch code := Code(head[0]); code {
	case Connected:
		return nil
	case NotAllowed, Failed:
		return &Refusal{Code: code, Text: printable(text)}
	default:
		return fmt.Errorf("answer of unknown code %d", code)
	}
}

// printable keeps what a node says to one line: it ends in logs and statuses.
func printable(text []byte) string {
	text = bytes.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == 0x7f {
			return '.'
		}
		return r
	}, text)
	return string(text)
}

// ErrLost is the error of streams whose tunnel ended.
var ErrLost = errors.New("the tunnel ended")
