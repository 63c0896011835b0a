// Package pki makes and keeps the identities of a cluster: its authorities, the
// key that signs service account tokens, and the certificates that servers,
// nodes and users show each other. Anyone may import it; it knows nothing of the
// rest of the project.
//
// # Use
//
//	p, err := pki.Open(pki.Config{Dir: filepath.Join(dataDir, "pki"), Logger: log})
//	serving, err := p.Certificate(pki.APIServer(names))
//	tlsConfig := &tls.Config{GetCertificate: serving.GetCertificate, ClientCAs: p.Client.Pool(), ...}
//	g.Go(func() error { return p.Run(ctx) }) // renews all that Certificate returned
//
// # Validity: a box whose clock is wrong, or that was off for years
//
// Boxes at the edge boot at 1970 when their clock has no battery, jump ahead by
// decades when the time arrives (or when a bad time source lies), and stand on a
// shelf for years. Whoever checks a certificate by such a clock must still get
// in. What is decided for that:
//
//   - Every certificate is valid from 1970-01-01 (NotBefore), so that neither side
//     ever finds it "not yet valid". A certificate's beginning protects nobody here:
//     whoever has the authority's key can write any date into it.
//   - Authorities never expire (9999-12-31T23:59:59Z, which RFC 5280 4.1.2.5 defines
//     as "no well-defined expiration date"). An authority that ends would end the whole
//     cluster at a date that nobody remembers, and it lies beside its key on the same
//     disk: a shorter life would not contain a theft. Replacing it is an operator's
//     decision, not a calendar's.
//   - Leaves live for a year and are renewed at two thirds of it. Time is taken as the
//     clock's or Epoch, whichever is later, so that a leaf made at "1970" still lives
//     when the right time arrives. A leaf from a future that turned out wrong (it ends
//     later than a fresh one would) is replaced as well.
//   - Leaves are checked when they are opened (start-up after years off), at every TLS
//     handshake, and once an hour by Run: a check is two comparisons of times, and a
//     wall clock that jumps needs no timer of its own.
//
// Safari refuses server certificates that are valid for more than 825 days; Go,
// OpenSSL, GnuTLS, Chromium and Firefox with an imported authority do not.
//
// # Files
//
// Under Config.Dir (0700): server-ca.crt and .key, client-ca.*, front-proxy-ca.*,
// service-account.key, and one NAME.pem with key and chain per leaf. Keys are 0600.
// Every write is atomic (temporary file, rename). Authorities and the service account
// key are synced to disk before they are used; leaves are not, as a lost one is
// simply issued again. An unreadable authority is an error, never replaced.
package pki
