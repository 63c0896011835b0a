package dns

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

// askTimeout bounds all asking of other servers for one question.
const askTimeout = 5 * time.Second

// handler answers questions about the cluster from its zone, and all others
// from the cache or other servers.
type handler struct {
	zone    *zone
	cache   *responseCache
	forward *forwarder
	// box returns the servers that the box itself asks.
	box func() []string
	// settings are what users said; never nil.
	settings atomic.Pointer[settings]
	flights  singleflight.Group
	metrics  *metrics
	// turn chooses which of n addresses an answer begins with.
	turn func(n int) int
}

// ServeDNS implements dns.Handler.
func (h *handler) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	begin := time.Now()
	resp := h.respond(req)
	resp.Truncate(sizeLimit(w, req))
	h.metrics.served(resp.Rcode, time.Since(begin))
	if err := w.WriteMsg(resp); err != nil {
		slog.Debug("cannot send a DNS answer", "client", w.RemoteAddr(), "err", err)
	}
}

// sizeLimit is the largest answer that the client takes: RFC 1035, RFC 6891.
func sizeLimit(w dns.ResponseWriter, req *dns.Msg) int {
	if w.RemoteAddr().Network() == "tcp" {
		return dns.MaxMsgSize
	}
	if opt := req.IsEdns0(); opt != nil {
		return max(int(opt.UDPSize()), dns.MinMsgSize)
	}
	return dns.MinMsgSize
}

func (h *handler) respond(req *dns.Msg) *dns.Msg {
	resp := new(dns.Msg)
	if len(req.Question) != 1 || req.Opcode != dns.OpcodeQuery {
		return resp.SetRcode(req, dns.RcodeNotImplemented)
	}
	q := req.Question[0]
	name := strings.ToLower(q.Name)
	switch {
	case q.Qclass != dns.ClassINET:
		return resp.SetRcode(req, dns.RcodeRefused)
	case dns.IsSubDomain(h.zone.origin, name):
		h.fromZone(resp.SetReply(req), name, q)
	case q.Qtype == dns.TypePTR && h.fromReverse(resp, req, name, q):
	case h.fromHosts(resp, req, name, q):
	default:
		return h.fromOthers(req, name, q)
	}
	setEdns(resp, req)
	return resp
}

func setEdns(resp, req *dns.Msg) {
	if opt := req.IsEdns0(); opt != nil {
		resp.SetEdns0(1232, opt.Do())
	}
}

func (h *handler) fromZone(resp *dns.Msg, name string, q dns.Question) {
	a := h.zone.resolve(name, q.Qtype)
	resp.Authoritative, resp.RecursionAvailable = true, true
	resp.Answer, resp.Extra = h.spread(a.records), a.extra
	restoreCase(resp.Answer, name, q.Name)
	if a.alias != "" && q.Qtype != dns.TypeCNAME {
		h.follow(resp, a.alias, q.Qtype)
		return
	}
	if !a.exists {
		resp.Rcode = dns.RcodeNameError
	}
	if len(resp.Answer) == 0 {
		resp.Ns = []dns.RR{h.zone.soa()}
	}
}

// spread has each answer begin with another address, since most clients take the
// first.
func (h *handler) spread(records []dns.RR) []dns.RR {
	if len(records) < 2 {
		return records
	}
	first := h.turn(len(records))
	return slices.Concat(records[first:], records[:first])
}

// restoreCase gives the records the name as it was asked for: clients that mix
// cases to make forgery harder check it.
func restoreCase(records []dns.RR, lower, asked string) {
	for _, rr := range records {
		if hdr := rr.Header(); hdr.Name == lower {
			hdr.Name = asked
		}
	}
}

// follow appends what an external name stands for. If that can't be found out,
// the alias alone is the answer.
func (h *handler) follow(resp *dns.Msg, target string, qtype uint16) {
	req := new(dns.Msg).SetQuestion(target, qtype)
	if dns.IsSubDomain(h.zone.origin, target) {
		resp.Answer = append(resp.Answer, h.zone.resolve(target, qtype).records...)
		return
	}
	if more, err := h.lookUp(req, question{name: target, qtype: qtype, qclass: dns.ClassINET}); err == nil {
		resp.Answer = append(resp.Answer, more.Answer...)
	}
}

func (h *handler) fromReverse(resp, req *dns.Msg, name string, q dns.Question) bool {
	addr, ok := parseReverse(name)
	if !ok {
		return false
	}
	records, ok := h.zone.reverse(name, addr)
	if !ok {
		for _, host := range h.settings.Load().names[addr] {
			records = append(records, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: host})
		}
	}
	if len(records) == 0 {
		return false
	}
	resp.SetReply(req)
	resp.Authoritative, resp.RecursionAvailable = true, true
	resp.Answer = records
	restoreCase(resp.Answer, name, q.Name)
	return true
}

// fromHosts answers for the names that users gave addresses.
func (h *handler) fromHosts(resp, req *dns.Msg, name string, q dns.Question) bool {
	addrs, ok := h.settings.Load().hosts[name]
	if !ok {
		return false
	}
	resp.SetReply(req)
	resp.Authoritative, resp.RecursionAvailable = true, true
	for _, addr := range addrs {
		resp.Answer = append(resp.Answer, addressRecords(q.Name, q.Qtype, addr)...)
	}
	return true
}

// serversFor are the ones to ask about a name.
func (h *handler) serversFor(name string) []string {
	s := h.settings.Load()
	if servers, ok := s.stubFor(name); ok {
		return servers
	}
	if len(s.upstream) > 0 {
		return s.upstream
	}
	return h.box()
}

func (h *handler) fromOthers(req *dns.Msg, name string, q dns.Question) *dns.Msg {
	key := question{name: name, qtype: q.Qtype, qclass: q.Qclass}
	if opt := req.IsEdns0(); opt != nil {
		key.dnssec = opt.Do()
	}
	found, err := h.lookUp(req, key)
	if err != nil {
		h.metrics.failed()
		slog.Debug("cannot resolve a name", "name", name, "err", err)
		return new(dns.Msg).SetRcode(req, dns.RcodeServerFailure)
	}
	resp := found.Copy()
	resp.Id, resp.Question, resp.RecursionAvailable, resp.RecursionDesired = req.Id, req.Question, true, req.RecursionDesired
	restoreCase(resp.Answer, name, q.Name)
	return resp
}

// lookUp answers from the cache or asks; clients that want the same at once
// share one asking.
func (h *handler) lookUp(req *dns.Msg, key question) (*dns.Msg, error) {
	if hit := h.cache.get(key); hit != nil {
		h.metrics.hit()
		return hit, nil
	}
	h.metrics.missed()
	found, err, _ := h.flights.Do(key.name+"/"+dns.TypeToString[key.qtype]+map[bool]string{true: "/do"}[key.dnssec], func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		defer cancel()
		ask := req.Copy()
		ask.Id = dns.Id()
		ask.RecursionDesired = true
		ask.Question[0].Name = key.name
		resp, err := h.forward.ask(ctx, ask, h.serversFor(key.name))
		if err != nil {
			return nil, err
		}
		h.cache.put(key, resp)
		return resp, nil
	})
	if err != nil {
		return nil, err
	}
	return found.(*dns.Msg), nil
}
