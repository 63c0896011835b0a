package api

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

const (
	// gzipFrom is the size from which a response is compressed for clients that
	// accept it; below, the time costs more than the bytes.
	gzipFrom = 128 << 10
	// keepBuffer is the largest buffer that goes back to the pool.
	keepBuffer = 256 << 10
)

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

var gzips = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is valid
	return w
}}

// body is a response's body in the making. It holds what is written until it is
// known whether there is enough of it to compress, and knows the length of all
// that fits.
type body struct {
	c       *call
	code    int
	typ     string
	length  int64 // announced length, -1 if unknown
	buf     *[]byte
	started bool
	gz      *gzip.Writer
	err     error
}

func (c *call) body(code int, contentType string) *body {
	return &body{c: c, code: code, typ: contentType, length: -1, buf: buffers.Get().(*[]byte)}
}

// Write implements io.Writer.
func (b *body) Write(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(*b.buf)+len(p) > gzipFrom {
		b.flush()
		if len(p) > gzipFrom {
			b.start(len(p))
			b.write(p)
			return len(p), b.err
		}
	}
	*b.buf = append(*b.buf, p...)
	return len(p), b.err
}

// next returns the space behind what is written, for appending; done takes it.
func (b *body) space() []byte { return *b.buf }

// took replaces the buffered bytes with p, which was appended to space().
func (b *body) took(p []byte) error {
	*b.buf = p
	if len(p) > gzipFrom {
		b.flush()
	}
	return b.err
}

func (b *body) flush() {
	if len(*b.buf) > 0 {
		b.start(len(*b.buf))
		b.write(*b.buf)
		*b.buf = (*b.buf)[:0]
	}
}

func (b *body) write(p []byte) {
	if b.err != nil {
		return
	}
	if b.gz != nil {
		_, b.err = b.gz.Write(p)
		return
	}
	_, b.err = b.c.w.Write(p)
}

// start writes the header once; n is the number of bytes at hand.
func (b *body) start(n int) {
	if b.started {
		return
	}
	b.started = true
	h := b.c.w.Header()
	h.Set("Content-Type", b.typ)
	if (n > gzipFrom || b.length > gzipFrom) && acceptsGzip(b.c.r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		b.gz = gzips.Get().(*gzip.Writer)
		b.gz.Reset(b.c.w)
	} else if b.length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(b.length, 10))
	}
	b.c.w.WriteHeader(b.code)
}

// close sends what is left.
func (b *body) close() error {
	if !b.started {
		b.length = int64(len(*b.buf))
		b.start(len(*b.buf))
	}
	b.flush()
	if b.gz != nil {
		if err := b.gz.Close(); b.err == nil {
			b.err = err
		}
		b.gz.Reset(io.Discard)
		gzips.Put(b.gz)
	}
	if cap(*b.buf) <= keepBuffer {
		*b.buf = (*b.buf)[:0]
		buffers.Put(b.buf)
	}
	b.buf = nil
	return b.err
}

// send writes a whole body.
func (c *call) send(code int, contentType string, p []byte) error {
	b := c.body(code, contentType)
	b.length = int64(len(p))
	_, _ = b.Write(p) // close returns the error
	return b.close()
}

func acceptsGzip(r *http.Request) bool {
	for _, h := range r.Header["Accept-Encoding"] {
		for part := range strings.SplitSeq(h, ",") {
			if name, _, _ := strings.Cut(part, ";"); strings.TrimSpace(name) == "gzip" {
				return true
			}
		}
	}
	return false
}

// sendPacked writes what is compressed already.
func sendPacked(w http.ResponseWriter, r *http.Request, packed []byte) {
	if acceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
		_, _ = w.Write(packed)
		return
	}
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, zr) // a failed write has nobody to tell
}
