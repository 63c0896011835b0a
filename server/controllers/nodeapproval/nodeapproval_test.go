package nodeapproval_test

import (
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"skiff/server/controllers/nodeapproval"
	"skiff/server/join"
	"skiff/server/pki"
)

// makeToken makes a join token of an hour, as ID.SECRET.
func (c *cluster) makeToken() string {
	c.t.Helper()
	token, err := pki.NewToken(c.pki.Server)
	must(c.t, err)
	_, err = c.admin.CoreV1().Secrets(join.Namespace).Create(c.t.Context(),
		join.Token{ID: token.ID, Secret: token.Secret, Expires: time.Now().Add(time.Hour)}.ForRole(join.RoleAgent).ToSecret(), metav1.CreateOptions{})
	must(c.t, err)
	return token.ID + "." + token.Secret
}

func (c *cluster) want(what, got, want string) {
	c.t.Helper()
	if want == "" && got != "" || !strings.Contains(got, want) {
		c.t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

// register makes the box's Node, as the box, with an address.
func (b *box) register(name, address string) {
	b.t.Helper()
	nodes := b.user.client().CoreV1().Nodes()
	n, err := nodes.Create(b.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	must(b.t, err)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
	_, err = nodes.UpdateStatus(b.t.Context(), n, metav1.UpdateOptions{})
	must(b.t, err)
	time.Sleep(time.Second)
}

func (c *cluster) deleteNode(name string) {
	c.t.Helper()
	must(c.t, c.admin.CoreV1().Nodes().Delete(c.t.Context(), name, metav1.DeleteOptions{}))
	time.Sleep(time.Second)
}

// TestConversation is that of a box with the server, from the first word to a
// node at work.
func TestConversation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.makeToken()

		// Anybody gets the authority, and a token's holder knows whether it is right.
		resp, err := outside{api: c.api}.RoundTrip(mustRequest(t, "https://192.0.2.1:6443"+join.AuthoritiesPath))
		must(t, err)
		bundle, err := io.ReadAll(resp.Body)
		must(t, err)
		block, _ := pem.Decode(bundle)
		if resp.StatusCode != http.StatusOK || block == nil {
			t.Fatalf("%d %s", resp.StatusCode, bundle)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		must(t, pki.Token{Hash: c.pki.Server.Hash()}.VerifyAuthority(ca))

		c.want("a wrong token", c.box(token[:len(token)-1]+"_").join("n1"), "Unauthorized")
		c.want("no token", c.box("").join("n1"), "forbidden")

		b := c.box(token)
		if _, err := b.user.client().CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a token reads nodes: %v", err)
		}
		c.want("join", b.join("n1"), "")
		b.register("n1", "192.0.2.11")
		b.reads(t)
		cert, refused, err := b.ask(certificatesv1.KubeletServingSignerName, "n1", servingUsages, "n1", "localhost", "127.0.0.1", "192.0.2.11")
		must(t, err)
		c.want("serving certificate", refused, "")
		if _, err := cert.Verify(x509.VerifyOptions{Roots: c.pki.Server.Pool(), DNSName: "192.0.2.11", CurrentTime: time.Now()}); err != nil {
			t.Error(err)
		}
		// The token has ended; the node renews all the same.
		time.Sleep(2 * time.Hour)
		if list, err := c.admin.CoreV1().Secrets(join.Namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(list.Items) > 0 {
			t.Errorf("the token is still there: %v %v", list.Items, err)
		}
		c.want("an ended token", c.box(token).join("n2"), "Unauthorized")
		c.want("renewal", b.join("n1"), "")
	})
}

func mustRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	return r
}

// reads checks that a node may read what an agent needs, and no more.
func (b *box) reads(t *testing.T) {
	t.Helper()
	ctx, k := t.Context(), b.user.client()
	all := metav1.ListOptions{}
	_, err := k.CoreV1().Services("").List(ctx, all)
	must(t, err)
	_, err = k.DiscoveryV1().EndpointSlices("").List(ctx, all)
	must(t, err)
	_, err = k.CoreV1().Namespaces().List(ctx, all)
	must(t, err)
	_, err = k.CoreV1().Nodes().List(ctx, all)
	must(t, err)
	for _, name := range []string{"skiff-cluster", "skiff-dns"} {
		_, err = k.CoreV1().ConfigMaps("kube-system").List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		must(t, err)
	}
	if _, err = k.CoreV1().ConfigMaps("kube-system").List(ctx, all); !apierrors.IsForbidden(err) {
		t.Errorf("a node reads all config maps: %v", err)
	}
	if _, err = k.CoreV1().Secrets("kube-system").List(ctx, all); !apierrors.IsForbidden(err) {
		t.Errorf("a node reads secrets: %v", err)
	}
}

// TestNames: a name is its first box's, until the node is deleted.
func TestNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.makeToken()
		first, second := c.box(token), c.box(token)
		c.want("first", first.join("n1"), "")
		c.want("second at the same time", second.join("n1"),
			`NodeNameTaken: another box is joining as node "n1": choose another --node-name, or try again in 5m0s if it was this one`)
		first.register("n1", "192.0.2.11")
		time.Sleep(10 * time.Minute)
		const taken = `NodeNameTaken: another box has joined as node "n1": choose another --node-name, or, if that box is gone or lost its data, kubectl delete node n1`
		c.want("second", second.join("n1"), taken)

		// The first one lost its certificates, not its key.
		first.user = outside{api: c.api, token: token}
		c.want("first again", first.join("n1"), "")
		// Its certificate is good for its own name alone, and its key.
		c.want("other name", first.join("n2"), "can only create a node CSR with CN=system:node:n1")
		thief := c.box("")
		thief.user = first.user
		c.want("other key", thief.join("n1"), taken)

		c.deleteNode("n1")
		if _, err := c.admin.CoreV1().ConfigMaps(nodeapproval.Namespace).Get(t.Context(), nodeapproval.RecordName("n1"), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("the key of a deleted node: %v", err)
		}
		c.want("second after the deletion", second.join("n1"), "")
		second.register("n1", "192.0.2.12")
		c.want("first after the deletion", first.join("n1"), taken)

		// A name that a box took and did not use comes free.
		third := c.box(token)
		c.want("third", third.join("n3"), "")
		time.Sleep(6 * time.Minute)
		first.user = outside{api: c.api, token: token}
		c.want("first as n3", first.join("n3"), "")
		first.register("n3", "192.0.2.13")
	})
}

// TestLockedOut: a record without the node's key, as docs/nodes.md has it for a
// stolen box, keeps the box from a further certificate, by whatever it shows.
func TestLockedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.makeToken()
		b := c.box(token)
		c.want("join", b.join("n1"), "")
		b.register("n1", "192.0.2.11")
		c.want("renewal", b.join("n1"), "")
		_, err := c.admin.CoreV1().ConfigMaps(nodeapproval.Namespace).Patch(t.Context(), nodeapproval.RecordName("n1"),
			types.MergePatchType, []byte(`{"data":{"public-key":"none"}}`), metav1.PatchOptions{})
		must(t, err)
		time.Sleep(10 * time.Minute)
		c.want("renewal", b.join("n1"), "NodeNameTaken")
		b.user = outside{api: c.api, token: token}
		c.want("by the token", b.join("n1"), "NodeNameTaken")
	})
}

// TestRejoin: a node that was deleted gets its name again by its certificate alone,
// and it is then its own as before.
func TestRejoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.makeToken()
		first, second := c.box(token), c.box(token)
		c.want("first", first.join("n1"), "")
		first.register("n1", "192.0.2.11")
		c.deleteNode("n1")
		c.want("first after the deletion", first.join("n1"), "")
		c.want("second before the node is back", second.join("n1"), `another box is joining as node "n1"`)
		first.register("n1", "192.0.2.11")
		time.Sleep(10 * time.Minute)
		c.want("second", second.join("n1"), `another box has joined as node "n1"`)
		first.user = outside{api: c.api, token: token}
		c.want("first without its certificate", first.join("n1"), "")
	})
}

// TestReservedNames: a node cannot pass for the server, or take the name of a node
// that came without joining.
func TestReservedNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		_, err := c.admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "made"}}, metav1.CreateOptions{})
		must(t, err)
		b := c.box(c.makeToken())
		for name, want := range map[string]string{
			"server":                 `NodeNameTaken: "server" is a name of the server, choose another --node-name`,
			"kubernetes.default.svc": `"kubernetes.default.svc" is a name of the server`,
			"localhost":              `"localhost" is a name of the server`,
			"box.example.com":        `"box.example.com" is a name of the server`,
			"Upper":                  `"Upper" cannot name a node`,
			"made":                   `another box has joined as node "made"`,
		} {
			c.want(name, b.join(name), want)
		}
		c.want("below the wildcard", b.join("a.box.example.com"), "")
	})
}

// TestServing: a serving certificate is signed by the authority that all trust the
// server by; it is for nothing but the node.
func TestServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t)
		token := c.makeToken()
		other, b := c.box(token), c.box(token)
		c.want("other", other.join("other"), "")
		other.register("other", "192.0.2.12")
		const signer = certificatesv1.KubeletServingSignerName
		_, refused, err := b.ask(signer, "n1", servingUsages, "n1")
		must(t, err)
		c.want("with a token", refused, "pending")
		c.want("join", b.join("n1"), "")
		for _, tc := range []struct{ sans, want string }{
			{"n1", ""},
			{"n1,localhost,127.0.0.1,::1,192.0.2.11,2001:db8::11,10.0.0.1", ""},
			{"n2", `NodeNamesRefused: "n2" is not a name of node "n1"`},
			{"n1,kubernetes.default.svc", `"kubernetes.default.svc" is not a name of node "n1"`},
			{"10.43.0.1", `node "n1" cannot have the address 10.43.0.1: it is in the range of services`},
			{"10.42.3.4", "it is in the range of pods"},
			{"192.0.2.1", "it is the server's"},
			{"::ffff:192.0.2.1", "it is the server's"},
			{"192.0.2.12", `node "other" has it; one that is gone lets go of it with: kubectl delete node other`},
			{"169.254.1.1", "it is no host's address"},
			{"0.0.0.0", "it is no host's address"},
		} {
			_, refused, err := b.ask(signer, "n1", servingUsages, strings.Split(tc.sans, ",")...)
			must(t, err)
			c.want(tc.sans, refused, tc.want)
		}
		if _, _, err = b.ask(signer, "other", servingUsages, "other"); !apierrors.IsForbidden(err) {
			t.Errorf("another's: %v", err)
		}
	})
}
