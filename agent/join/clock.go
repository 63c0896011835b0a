package join

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"skiff/server/pki"
)

// tolerance is how far two clocks may be apart without a word.
const tolerance = time.Minute

// serverClock knows how far this box's clock is behind the server's.
type serverClock struct {
	behind atomic.Int64
	// looked is when, by this box's clock, the server's was read last.
	looked atomic.Int64
}

// note reads an answer's Date, at most once a minute.
func (c *serverClock) note(h http.Header) {
	now := time.Now()
	if age := now.Unix() - c.looked.Load(); age >= 0 && age < 60 {
		return
	}
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	c.looked.Store(now.Unix())
	behind := date.Sub(now)
	if behind.Abs() < tolerance {
		behind = 0 // Date has whole seconds, and took its time
	}
	c.behind.Store(int64(behind))
}

// off is how far this box's clock is behind the server's, negative if it is
// ahead; 0 if they agree, or the server's is not known.
func (c *serverClock) off() time.Duration { return time.Duration(c.behind.Load()) }

// now is the time by the server's clock, and never before that certificates began.
func (c *serverClock) now() time.Time {
	if t := time.Now().Add(c.off()); t.After(pki.Epoch) {
		return t
	}
	return pki.Epoch
}

// explain makes a refusal of an error that comes from this box's clock: by it, the
// server's certificate has ended.
func (c *serverClock) explain(err error) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		return err
	}
	off := c.off()
	if off == 0 {
		return refused("the server's certificate has ended by this box's clock (%s) and by the server's: restart the server, which renews it", time.Now().UTC().Format(time.RFC3339))
	}
	return refused("this box's clock is %s: it says %s, the server's says %s, and the server's certificate is not valid by it; set the clock and start again",
		aheadOrBehind(off), time.Now().UTC().Format(time.RFC3339), time.Now().Add(off).UTC().Format(time.RFC3339))
}

// aheadOrBehind says how far a clock is off, in the two largest units that tell.
func aheadOrBehind(behind time.Duration) string {
	way, d := "behind", behind
	if d < 0 {
		way, d = "ahead", -d
	}
	switch days := int64(d / (24 * time.Hour)); {
	case days >= 2:
		return fmt.Sprintf("%d days %s", days, way)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours %s", int64(d/time.Hour), way)
	default:
		return fmt.Sprintf("%d minutes %s", int64(d/time.Minute), way)
	}
}
