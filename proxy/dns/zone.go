package dns

import (
	"net/netip"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
)

// schemaVersion is that of the Kubernetes DNS specification.
const schemaVersion = "1.1.0"

// ttl of the cluster's records, in seconds: short, since endpoints move.
const ttl = 5

// zone answers for the cluster's own names, by the specification "Kubernetes
// DNS-Based Service Discovery" v1.1.0:
//
//	SERVICE.NAMESPACE.svc.ZONE                A, AAAA (cluster address, or ready endpoints if headless), CNAME (external name)
//	ENDPOINT.SERVICE.NAMESPACE.svc.ZONE       A, AAAA; ENDPOINT is the host name, or the address with dashes
//	_PORT._PROTO.SERVICE.NAMESPACE.svc.ZONE   SRV
//	A-D-D-R.NAMESPACE.pod.ZONE                A, AAAA
//	dns-version.ZONE                          TXT
//	addresses of services and endpoints       PTR
//
// and ns.dns.ZONE, the zone's own server.
type zone struct {
	// origin is the zone's name in lower case, with the dot at its end.
	origin string
	source Source
	// servers are the addresses that the zone is served on.
	servers []netip.Addr
}

// answer is what a zone says of a name.
type answer struct {
	// exists tells the difference between a name without records of the wanted
	// type and no such name.
	exists bool
	// records answer the question; extra go along with them.
	records, extra []dns.RR
	// alias, if not "", is the name in another zone to go on with.
	alias string
}

// resolve answers a question about a name in the zone. name is in lower case.
func (z *zone) resolve(name string, qtype uint16) answer {
	if name == z.origin {
		return z.apex(qtype)
	}
	labels := dns.SplitDomainName(strings.TrimSuffix(name, "."+z.origin))
	last := len(labels) - 1
	switch {
	case labels[last] == "svc" && last <= 4:
		return z.service(name, labels[:last], qtype)
	case labels[last] == "pod" && last <= 2:
		return z.pod(name, labels[:last], qtype)
	case labels[last] == "dns-version" && last == 0:
		return z.text(name, schemaVersion, qtype)
	case labels[last] == "dns" && last == 0:
		return answer{exists: true}
	case labels[last] == "dns" && last == 1 && labels[0] == "ns":
		return z.server(name, qtype)
	}
	return answer{}
}

// server answers for the name in the zone's NS record.
func (z *zone) server(name string, qtype uint16) answer {
	a := answer{exists: true}
	for _, addr := range z.servers {
		a.records = append(a.records, addressRecords(name, qtype, addr)...)
	}
	return a
}

func (z *zone) apex(qtype uint16) answer {
	a := answer{exists: true}
	switch qtype {
	case dns.TypeSOA:
		a.records = []dns.RR{z.soa()}
	case dns.TypeNS:
		ns := "ns.dns." + z.origin
		a.records = []dns.RR{&dns.NS{Hdr: header(z.origin, dns.TypeNS), Ns: ns}}
		a.extra = append(z.server(ns, dns.TypeA).records, z.server(ns, dns.TypeAAAA).records...)
	}
	return a
}

// soa is the zone's start of authority. Its serial never changes: nobody
// transfers the zone.
func (z *zone) soa() dns.RR {
	return &dns.SOA{
		Hdr: header(z.origin, dns.TypeSOA), Ns: "ns.dns." + z.origin, Mbox: "hostmaster." + z.origin,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}

func (z *zone) text(name, text string, qtype uint16) answer {
	a := answer{exists: true}
	if qtype == dns.TypeTXT {
		a.records = []dns.RR{&dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{text}}}
	}
	return a
}

// pod answers A-D-D-R.NAMESPACE.pod, for any address: what a pod has is not
// looked up, as upstream's "pods insecure".
func (z *zone) pod(name string, labels []string, qtype uint16) answer {
	if len(labels) == 0 {
		return answer{exists: true}
	}
	if !z.source.NamespaceExists(labels[len(labels)-1]) {
		return answer{}
	}
	if len(labels) == 1 {
		return answer{exists: true}
	}
	addr, ok := parseDashed(labels[0])
	if !ok {
		return answer{}
	}
	return answer{exists: true, records: addressRecords(name, qtype, addr)}
}

// service answers names below svc: nothing, a namespace, a service, an endpoint
// or a port of a service.
func (z *zone) service(name string, labels []string, qtype uint16) answer {
	n := len(labels)
	if n == 0 {
		return answer{exists: true}
	}
	namespace := labels[n-1]
	if n == 1 {
		return answer{exists: z.source.NamespaceExists(namespace)}
	}
	svc := z.source.Service(namespace, labels[n-2])
	if svc == nil {
		return answer{}
	}
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return z.external(name, svc, n)
	}
	switch n {
	case 2:
		return z.serviceAddresses(name, svc, qtype)
	case 3:
		return z.endpoint(name, svc, labels[0], qtype)
	default:
		return z.port(name, svc, strings.TrimPrefix(labels[0], "_"), strings.TrimPrefix(labels[1], "_"), qtype)
	}
}

func (z *zone) external(name string, svc *corev1.Service, labels int) answer {
	if labels != 2 {
		return answer{}
	}
	target := dns.Fqdn(strings.ToLower(svc.Spec.ExternalName))
	return answer{
		exists: true, alias: target,
		records: []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: target}},
	}
}

func (z *zone) serviceAddresses(name string, svc *corev1.Service, qtype uint16) answer {
	if qtype == dns.TypeSRV {
		return z.allPorts(name, svc)
	}
	a := answer{exists: true}
	if !isHeadless(svc) {
		for _, ip := range svc.Spec.ClusterIPs {
			if addr, err := netip.ParseAddr(ip); err == nil {
				a.records = append(a.records, addressRecords(name, qtype, addr)...)
			}
		}
		return a
	}
	eps := z.endpoints(svc)
	// A headless service without a ready endpoint has no name.
	a.exists = len(eps) > 0
	seen := map[netip.Addr]bool{}
	for _, ep := range eps {
		if !seen[ep.addr] {
			seen[ep.addr] = true
			a.records = append(a.records, addressRecords(name, qtype, ep.addr)...)
		}
	}
	return a
}

func (z *zone) endpoint(name string, svc *corev1.Service, label string, qtype uint16) answer {
	var a answer
	if !isHeadless(svc) {
		return a
	}
	seen := map[netip.Addr]bool{}
	for _, ep := range z.endpoints(svc) {
		if ep.label != label || seen[ep.addr] {
			continue
		}
		seen[ep.addr] = true
		a.exists = true
		a.records = append(a.records, addressRecords(name, qtype, ep.addr)...)
	}
	return a
}

func isHeadless(svc *corev1.Service) bool { return svc.Spec.ClusterIP == corev1.ClusterIPNone }

// addressRecords returns an A or AAAA record, none if the type is another.
func addressRecords(name string, qtype uint16, addr netip.Addr) []dns.RR {
	switch {
	case addr.Is4() && qtype == dns.TypeA:
		return []dns.RR{&dns.A{Hdr: header(name, dns.TypeA), A: addr.AsSlice()}}
	case addr.Is6() && qtype == dns.TypeAAAA:
		return []dns.RR{&dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: addr.AsSlice()}}
	}
	return nil
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// dashed is an address as a label: 10-42-0-5.
func dashed(a netip.Addr) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace(a.String())
}

func parseDashed(label string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ".")); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(strings.ReplaceAll(label, "-", ":"))
	return a, err == nil
}
