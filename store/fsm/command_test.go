package fsm

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"skiff/store"
)

var commands = map[string]Command{
	"compact": {Kind: KindCompact, Revision: 7},
	"advance": {Kind: KindAdvance, Revision: -1},
	"nothing": {Kind: KindTxns},
	"transactions": {Kind: KindTxns, Txns: [][]store.Op{
		{{Key: "pods/a/x", Value: []byte("1"), Expect: store.AnyRevision}},
		{{Key: "pods/a/y", Expect: 1 << 40}, {Key: "leases/z", Value: []byte{}, Volatile: true}},
	}},
	"volatile": {Kind: KindTxns, Txns: [][]store.Op{
		{{Key: "leases/a", Value: []byte("1"), Volatile: true}},
		{{Key: "leases/b", Volatile: true}},
	}},
}

func TestCommands(t *testing.T) {
	for name, want := range commands {
		data := want.Encode()
		got, err := Decode(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if Volatile(data) != (name == "volatile" || name == "nothing") {
			t.Errorf("%s: volatile is %v", name, Volatile(data))
		}
		for n := range data {
			if _, err := Decode(data[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes pass", name, n, len(data))
			}
		}
		if _, err := Decode(append(data, 0)); err == nil {
			t.Errorf("%s: passes with a byte too many", name)
		}
	}
}

// TestDecodeCopies asserts that what is decoded does not keep the entry, and is
// not changed through it.
func TestDecodeCopies(t *testing.T) {
	c := commands["transactions"]
	data := c.Encode()
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if diff := cmp.Diff(c, *got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNewerCommand(t *testing.T) {
	for want, data := range map[string][]byte{
		"format version 2": {2, KindTxns, 0},
		"unknown kind 77":  {commandVersion, 77, 0},
	} {
		if _, err := Decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q", err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range commands {
		f.Add(c.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(c.Encode())
		if err != nil {
			t.Fatalf("decoded, but not again: %v", err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
