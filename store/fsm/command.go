package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"skiff/store"
)

// commandVersion is that of the encoding of commands. A server refuses to apply
// a newer one rather than to guess.
const commandVersion = 1

// Kinds of commands.
const (
	// KindTxns is a run of transactions, each of its own fate.
	KindTxns = 1
	// KindCompact forgets history.
	KindCompact = 2
	// KindAdvance moves the revision without a change.
	KindAdvance = 3
)

const (
	flagVolatile = 1 << iota // of a command: all changes are volatile
)

const (
	opDelete = 1 << iota
	opVolatile
)

// Command is one entry of the log.
type Command struct {
	Kind byte
	// Txns of a KindTxns.
	Txns [][]store.Op
	// Revision of a KindCompact: the last that is forgotten; of a KindAdvance:
	// by how much the revision moves.
	Revision int64
}

var errBadCommand = errors.New("damaged command")

// Volatile tells whether the encoded command may be lost by a power cut.
func Volatile(data []byte) bool {
	return len(data) > 2 && data[0] == commandVersion && data[2]&flagVolatile != 0
}

// Encode returns the encoding of c: version, kind, flags, then for the kinds
// with a revision this as a varint; for transactions their number, and for each
// the number of its operations and these (all numbers are varints): flags, key
// (length, bytes), expected revision, value (length, bytes).
func (c *Command) Encode() []byte {
	buf := make([]byte, 0, c.sizeHint())
	buf = append(buf, commandVersion, c.Kind, 0)
	if c.Kind != KindTxns {
		return binary.AppendVarint(buf, c.Revision)
	}
	volatile := true
	buf = binary.AppendUvarint(buf, uint64(len(c.Txns)))
	for _, ops := range c.Txns {
		buf = binary.AppendUvarint(buf, uint64(len(ops)))
		for i := range ops {
			volatile = volatile && ops[i].Volatile
			buf = appendOp(buf, &ops[i])
		}
	}
	if volatile {
		buf[2] |= flagVolatile
	}
	return buf
}

func (c *Command) sizeHint() int {
	n := 16
	for _, ops := range c.Txns {
		n += 4
		for i := range ops {
			n += SizeOf(&ops[i])
		}
	}
	return n
}

// SizeOf returns an upper bound of the encoded size of op.
func SizeOf(op *store.Op) int { return len(op.Key) + len(op.Value) + 24 }

func appendOp(buf []byte, op *store.Op) []byte {
	var flags byte
	if op.Value == nil {
		flags |= opDelete
	}
	if op.Volatile {
		flags |= opVolatile
	}
	buf = append(buf, flags)
	buf = binary.AppendUvarint(buf, uint64(len(op.Key)))
	buf = append(buf, op.Key...)
	buf = binary.AppendVarint(buf, op.Expect)
	if op.Value == nil {
		return buf
	}
	buf = binary.AppendUvarint(buf, uint64(len(op.Value)))
	return append(buf, op.Value...)
}

// Decode parses an encoded command; what it returns does not refer to data.
func Decode(data []byte) (*Command, error) {
	d := decoder{rest: data}
	version := d.byte()
	if d.err == nil && version != commandVersion {
		return nil, fmt.Errorf("command has format version %d, this skiff knows up to %d: upgrade it", version, commandVersion)
	}
	c := &Command{Kind: d.byte()}
	d.byte()
	switch c.Kind {
	case KindCompact, KindAdvance:
		c.Revision = d.varint()
	case KindTxns:
		for range d.count(1) {
			c.Txns = append(c.Txns, d.ops())
			if d.err != nil {
				break
			}
		}
	default:
		return nil, fmt.Errorf("command of unknown kind %d: upgrade this skiff", c.Kind)
	}
	if d.err == nil && len(d.rest) > 0 {
		d.err = errBadCommand
	}
	if d.err != nil {
		return nil, d.err
	}
	return c, nil
}

type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail() {
	d.err, d.rest = errBadCommand, nil
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail()
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count reads a number of things that take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.rest)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte {
	n := d.count(1)
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) ops() []store.Op {
	n := d.count(3)
	if d.err != nil || n == 0 {
		return nil
	}
	ops := make([]store.Op, n)
	for i := range ops {
		flags := d.byte()
		ops[i].Key = string(d.bytes())
		ops[i].Expect = d.varint()
		ops[i].Volatile = flags&opVolatile != 0
		if flags&opDelete == 0 {
			// A copy: what is kept of a change must not keep its whole batch.
			v := d.bytes()
			ops[i].Value = append(make([]byte, 0, len(v)), v...)
		}
		if d.err != nil {
			return nil
		}
	}
	return ops
}
