package join

import (
	"context"
	"net"

	"skiff/server/pki"
)

// Probe tells whether a box could join: whether a server answers, and is of the
// token's cluster, if there is a token. It tells nobody anything secret. off is how
// far this box's clock is off the server's, "3 hours behind", "" if it is not.
func Probe(ctx context.Context, server string, token pki.Token) (off string, err error) {
	return probe(ctx, (&net.Dialer{}).DialContext, server, token)
}

func probe(ctx context.Context, dial dialer, server string, token pki.Token) (off string, err error) {
	at, err := hostPort(server)
	if err != nil {
		return "", err
	}
	var clock serverClock
	certs, err := fetchAuthorities(ctx, dial, at, &clock)
	if err == nil && token.Hash != "" {
		_, err = ofToken(certs, at, token)
	}
	if d := clock.off(); d != 0 {
		off = aheadOrBehind(d)
	}
	return off, err
}
