package wire_test

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"skiff/server/tunnel/wire"
)

func TestRequest(t *testing.T) {
	for _, text := range []string{"", "10.42.1.5:80", "[fd00::5]:65535", "[fe80::1%eth0]:1"} {
		var want netip.AddrPort
		if text != "" {
			want = netip.MustParseAddrPort(text)
		}
		var b bytes.Buffer
		if err := wire.WriteRequest(&b, want); err != nil {
			t.Fatal(err)
		}
		got, err := wire.ReadRequest(&b)
		if err != nil || got != want || b.Len() != 0 {
			t.Errorf("%q came as %v, %v, with %d bytes left", text, got, err, b.Len())
		}
	}
	long := netip.AddrPortFrom(netip.IPv6Unspecified().WithZone(strings.Repeat("z", 300)), 1)
	if err := wire.WriteRequest(&bytes.Buffer{}, long); err == nil {
		t.Error("a zone of 300 bytes was sent")
	}
}

func TestBadRequest(t *testing.T) {
	for _, tt := range []struct{ in, err string }{
		{"", "read a request: EOF"},
		{"\x01", "read a request: unexpected EOF"},
		{"\x02\x0510.", "read the address of a request: unexpected EOF"},
		{"\x01\x0110.", "request of unknown kind 1 with 1 bytes"},
		{"\x00\x00", "request of unknown kind 0 with 0 bytes"},
		{"\x02\x00", `request for an address: not an ip:port`},
		{"\x02\x0chost.test:80", `request for an address: ParseAddr("host.test"): unexpected character (at "host.test")`},
		{"GET / HTTP/1.1\r\n" + strings.Repeat("x", 100), "request of unknown kind 71 with 69 bytes"},
	} {
		if _, err := wire.ReadRequest(strings.NewReader(tt.in)); err == nil || err.Error() != tt.err {
			t.Errorf("%q: got %v, want %s", tt.in, err, tt.err)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, tt := range []struct {
		code wire.Code
		text string
		want string
	}{
		{wire.Connected, "", ""},
		{wire.NotAllowed, "10.0.0.1 is not of this node", "10.0.0.1 is not of this node"},
		{wire.Failed, "two\nlines\x1b[31m", "two.lines.[31m"},
		{wire.Failed, strings.Repeat("ä", 600), strings.Repeat("ä", 512)},
		{wire.Failed, "a" + strings.Repeat("ä", 600), "a" + strings.Repeat("ä", 511)},
	} {
		var b bytes.Buffer
		if err := wire.WriteAnswer(&b, tt.code, tt.text); err != nil {
			t.Fatal(err)
		}
		err := wire.ReadAnswer(&b)
		if tt.code == wire.Connected {
			if err != nil {
				t.Error(err)
			}
			continue
		}
		refusal, ok := errors.AsType[*wire.Refusal](err)
		if !ok || refusal.Code != tt.code || refusal.Error() != tt.want {
			t.Errorf("%d %q came as %v", tt.code, tt.text, err)
		}
	}
	for _, in := range []string{"", "\x00", "\x03\x00\x00", "\x02\xff\xff", "\x02\x00\x05no"} {
		err := wire.ReadAnswer(strings.NewReader(in))
		if _, refusal := errors.AsType[*wire.Refusal](err); err == nil || refusal {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

// FuzzRequest: whatever comes is read without panic and without more than a
// request's length; what is a request is the same when it is sent on.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("\x01\x00rest"))
	f.Add([]byte("\x02\x0c10.42.1.5:80rest"))
	f.Add([]byte("\x02\x0b[::1%x]:443"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		got, err := wire.ReadRequest(r)
		if used := len(in) - r.Len(); used > 2+255 {
			t.Errorf("%d bytes read", used)
		}
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := wire.WriteRequest(&again, got); err != nil {
			t.Fatal(err)
		}
		if back, err := wire.ReadRequest(&again); err != nil || back != got {
			t.Errorf("%v came back as %v, %v", got, back, err)
		}
	})
}

// FuzzAnswer: a node's words are one printable line of bounded length.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00"))
	f.Add([]byte("\x01\x00\x05no\nno"))
	f.Add([]byte("\x02\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		err := wire.ReadAnswer(bytes.NewReader(in))
		if refusal, ok := errors.AsType[*wire.Refusal](err); ok {
			if strings.ContainsFunc(refusal.Text, func(r rune) bool { return r < ' ' }) || len(refusal.Text) > 3*1024 {
				t.Errorf("%q", refusal.Text)
			}
		}
	})
}
