package agent

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"skiff/agent/objects"
	"skiff/agent/pod"
	"skiff/agent/volume"
	"skiff/runtime/cri"
)

// Memory keeps what pods need from the API server, so that they can be brought back
// without it.
type Memory interface {
	objects.Memory
	Tokens(next volume.Tokens) volume.Tokens
	Claims(next volume.Claims) volume.Claims
	RuntimeClasses(next pod.RuntimeClasses) pod.RuntimeClasses
	// Away tells whether the server was lost and has not answered since; the log says
	// so then. Back receives when it answers again.
	Away() bool
	Back() <-chan struct{}
}

// Deps are the agent's connections to the rest of the world. Client, Runtime and
// Images are required.
type Deps struct {
	Client  kubernetes.Interface
	Runtime cri.Runtime
	Images  cri.Images

	// Pods, Nodes and Services are informers over at least this node's pods,
	// this node, and all services. Whoever passes one runs it; the agent makes
	// and runs those that are nil. A process that holds informers over
	// everything passes them here, and the agent picks what is its own.
	Pods, Nodes, Services cache.SharedIndexInformer
	// Objects reads config maps and secrets. Nil makes the agent watch each
	// object that a pod of this node refers to. See objects.NewShared.
	Objects objects.Source

	// Memory keeps what the agent reads one by one for when the API server does not
	// answer; nil keeps nothing. The informers above bring their own.
	Memory Memory

	// ImagesChanged tells that images may have come or gone. With nil the agent
	// lists them each time that it asks the runtime how it is.
	ImagesChanged <-chan struct{}

	// Recorder takes the events. Nil makes one that writes them with Client.
	Recorder record.EventRecorder

	// Certificate returns the serving certificate of the node's API, at each
	// handshake. Nil switches the API off.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// ClientCAs verify client certificates at the node's API (the API server's
	// own among them).
	ClientCAs func() *x509.CertPool
	// Authenticator and Authorizer guard the node's API. Nil ones check client
	// certificates against ClientCAs and bearer tokens by TokenReview, and ask
	// the API server by SubjectAccessReview about the nodes' subresources.
	Authenticator authenticator.Request
	Authorizer    authorizer.UnconditionalAuthorizer

	// OnPodCIDRs is told the node's address blocks, once known and when they
	// change. An error keeps the node NotReady and is tried again.
	OnPodCIDRs func(cidrs []string) error
	// OnReady is called once, when the API has a status of this run's that says
	// Ready; until then it may have the last run's. A node that starts while the API
	// server is away is ready when it runs what it remembers. Nil is nobody.
	OnReady func()
	// Reconnect is called when the API server did not answer a renewal in time: the
	// connection may be dead without anybody telling. Nil is nothing.
	Reconnect func()
	// DefaultPod fills in the defaults of a static pod's manifest. Nil leaves
	// the manifest as it is.
	DefaultPod func(*corev1.Pod)

	// Collectors are shown along with the agent's metrics: those of what runs
	// beside it on the node.
	Collectors []prometheus.Collector

	Logger *slog.Logger
}
