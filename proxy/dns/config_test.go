package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"skiff/server/client"
	"skiff/server/clusterinfo"
)

var itself = []netip.Addr{netip.MustParseAddr("10.43.0.10")}

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: clusterinfo.Namespace, Name: clusterinfo.DNSName}, Data: data}
}

func TestSettings(t *testing.T) {
	s, errs := parseSettings(configMap(map[string]string{
		"upstream":     "192.0.2.53 [2001:db8::53]:5353 # ours\n\nnine\n",
		"stub-domains": "Example 10.1.0.1\ncorp.example. 10.1.0.53 10.43.0.10\nlonely\n-x 10.1.0.1\n",
		"hosts":        "192.168.1.5 nas.home NAS\n2001:db8::5 nas.home _x\nnowhere nas\n192.168.1.6\n",
		"Corefile":     ".:53 {}",
	}), itself)
	if want := []string{"192.0.2.53:53", "[2001:db8::53]:5353"}; !reflect.DeepEqual(s.upstream, want) {
		t.Errorf("upstream %q, want %q", s.upstream, want)
	}
	if want := []stub{{"corp.example.", []string{"10.1.0.53:53"}}, {"example.", []string{"10.1.0.1:53"}}}; !reflect.DeepEqual(s.stubs, want) {
		t.Errorf("stubs %v, want %v", s.stubs, want)
	}
	if got := fmt.Sprint(s.hosts); got != "map[nas.:[192.168.1.5] nas.home.:[192.168.1.5 2001:db8::5]]" {
		t.Errorf("hosts %v", got)
	}
	const wrong = `hosts: line 2: "_x" is not a domain name
hosts: line 3: "nowhere" is not an IP address, write ADDRESS NAME
hosts: line 4: 192.168.1.6 has no name, write ADDRESS NAME
stub-domains: line 2: 10.43.0.10 is this DNS itself
stub-domains: line 3: lonely has no server, write DOMAIN SERVER
stub-domains: line 4: "-x" is not a domain name
there is no key "Corefile", only upstream, stub-domains and hosts
upstream: line 3: "nine" is not the IP address of a server`
	if got := errors.Join(errs...).Error(); got != wrong {
		t.Errorf("told:\n%s\nwant:\n%s", got, wrong)
	}
}

func TestWhoIsAsked(t *testing.T) {
	h := &handler{box: func() []string { return []string{"box"} }}
	for _, tc := range []struct {
		data map[string]string
		name string
		want string
	}{
		{nil, "example.com.", "[box]"},
		{map[string]string{"upstream": "192.0.2.53"}, "example.com.", "[192.0.2.53:53]"},
		{map[string]string{"stub-domains": "corp 10.1.0.1\nlab.corp 10.1.0.2"}, "a.lab.corp.", "[10.1.0.2:53]"},
		{map[string]string{"stub-domains": "corp 10.1.0.1\nlab.corp 10.1.0.2"}, "corp.", "[10.1.0.1:53]"},
		{map[string]string{"stub-domains": "corp 10.1.0.1"}, "xcorp.", "[box]"},
	} {
		s, errs := parseSettings(configMap(tc.data), nil)
		h.settings.Store(&s)
		if got := fmt.Sprint(h.serversFor(tc.name)); got != tc.want || len(errs) > 0 {
			t.Errorf("%v: %s is asked of %s, want %s (%v)", tc.data, tc.name, got, tc.want, errs)
		}
	}
}

func TestConfigIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clients := fake.NewClientset()
		informer := client.ConfigMapInformer(clients, clusterinfo.Namespace, clusterinfo.DNSName)
		s := newServer(t, Config{Domain: "cluster.local", Source: nothing{}, ConfigMap: informer})
		asked := 0
		s.handler.cache.put(question{name: "kept.", qtype: dns.TypeA, qclass: dns.ClassINET}, &dns.Msg{
			Answer: []dns.RR{&dns.A{Hdr: header("kept.", dns.TypeA), A: []byte{192, 0, 2, 1}}},
		})
		s.handler.box = func() []string { asked++; return nil }
		answer := func(name string, qtype uint16) string {
			synctest.Wait()
			m := s.handler.respond(new(dns.Msg).SetQuestion(name, qtype))
			if len(m.Answer) == 0 {
				return dns.RcodeToString[m.Rcode]
			}
			return fmt.Sprint(m.Answer[0])
		}
		want := func(name string, qtype uint16, want string) {
			t.Helper()
			if got := answer(name, qtype); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { informer.RunWithContext(ctx) })
		want("nas.home.", dns.TypeA, "SERVFAIL")
		want("kept.", dns.TypeA, "kept.\t5\tIN\tA\t192.0.2.1")

		maps := clients.CoreV1().ConfigMaps(clusterinfo.Namespace)
		cm, err := maps.Create(ctx, configMap(map[string]string{"hosts": "192.168.1.5 nas.home"}), metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want("Nas.home.", dns.TypeA, "Nas.home.\t5\tIN\tA\t192.168.1.5")
		want("nas.home.", dns.TypeAAAA, "NOERROR")
		want("5.1.168.192.in-addr.arpa.", dns.TypePTR, "5.1.168.192.in-addr.arpa.\t5\tIN\tPTR\tnas.home.")
		want("kept.", dns.TypeA, "SERVFAIL") // what other servers said counts no more

		cm.Data["hosts"] = "192.168.1.6 nas.home"
		if _, err := maps.Update(ctx, cm, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		want("nas.home.", dns.TypeA, "nas.home.\t5\tIN\tA\t192.168.1.6")
		if err := maps.Delete(ctx, clusterinfo.DNSName, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		want("nas.home.", dns.TypeA, "SERVFAIL")
		cancel()
		run.Wait()
	})
}

// TestConfigThatCannotBeFollowed has an informer that has ended.
func TestConfigThatCannotBeFollowed(t *testing.T) {
	informer := client.ConfigMapInformer(fake.NewClientset(), clusterinfo.Namespace, clusterinfo.DNSName)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	informer.RunWithContext(ctx)
	if _, err := New(Config{Domain: "cluster.local", Source: nothing{}, ConfigMap: informer}); err == nil {
		t.Error("no error")
	}
}

func TestSilentServersAreAskedLast(t *testing.T) {
	now := time.Unix(1000, 0)
	f := &forwarder{now: func() time.Time { return now }, silent: map[string]time.Time{}}
	servers := []string{"a", "b", "c"}
	want := func(order string) {
		t.Helper()
		if got := fmt.Sprint(f.order(servers)); got != order {
			t.Errorf("asked in the order %s, want %s", got, order)
		}
	}
	want("[a b c]")
	f.missed("a")
	want("[b c a]")
	now = now.Add(time.Second)
	f.missed("b")
	want("[c a b]")
	f.heard("b")
	want("[b c a]")
	now = now.Add(silentFor)
	want("[a b c]")
}
