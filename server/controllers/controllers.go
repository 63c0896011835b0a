// Package controllers lists the cluster's control loops, all in one function.
//
//	list, err := controllers.All(deps)
//	err = controller.Run(ctx, controller.Config{StartInformers: deps.Informers.StartWithContext}, list)
package controllers

import (
	"errors"
	"log/slog"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"skiff/server/controller"
	"skiff/server/controller/events"
	"skiff/server/controllers/apiserver"
	"skiff/server/controllers/certificates"
	"skiff/server/controllers/clusterinfo"
	"skiff/server/controllers/clusterrole"
	"skiff/server/controllers/cronjob"
	"skiff/server/controllers/daemonset"
	"skiff/server/controllers/deployment"
	"skiff/server/controllers/disruption"
	"skiff/server/controllers/endpoints"
	"skiff/server/controllers/endpointslice"
	"skiff/server/controllers/endpointslicemirroring"
	"skiff/server/controllers/garbage"
	"skiff/server/controllers/job"
	"skiff/server/controllers/kubedns"
	"skiff/server/controllers/legacytoken"
	"skiff/server/controllers/namespace"
	"skiff/server/controllers/nodeapproval"
	"skiff/server/controllers/nodeipam"
	"skiff/server/controllers/nodelifecycle"
	"skiff/server/controllers/podgc"
	"skiff/server/controllers/replicaset"
	"skiff/server/controllers/rootca"
	"skiff/server/controllers/serviceaccount"
	"skiff/server/controllers/servicecidr"
	"skiff/server/controllers/statefulset"
	"skiff/server/controllers/tainteviction"
	"skiff/server/controllers/tokencleaner"
	"skiff/server/controllers/ttlafterfinished"
)

// Deps is what the controllers need.
type Deps struct {
	Client   kubernetes.Interface
	Metadata metadata.Interface
	// Informers is the process's one factory, without resync.
	Informers informers.SharedInformerFactory
	// Events sends the controllers' events; the caller closes it after Run.
	Events *events.Sink
	Clock  clock.WithDelayedExecution
	Logger *slog.Logger
	// RootCA returns the bundle (PEM) that pods verify the API server with.
	RootCA func() []byte
	// SignToken signs the tokens of service accounts that live in Secrets.
	SignToken func(*corev1.ServiceAccount, *corev1.Secret) (string, error)

	// NodeIPAM is the pods' address range; ServiceCIDRs that of services.
	NodeIPAM     nodeipam.Config
	ServiceCIDRs []netip.Prefix
	// ClusterDNS are the addresses of the service kube-dns, one of each family at
	// most; none if the cluster's DNS is not Skiff's.
	ClusterDNS []netip.Addr
	// NodeLifecycle are the times that nodes may be silent.
	NodeLifecycle nodelifecycle.Config
	// TerminatedPods bounds the pods that ended and are kept, 0 for no limit
	// (upstream's default is 12,500).
	TerminatedPods int
	// Scales finds the size of custom controllers for disruption budgets; may be
	// nil.
	Scales disruption.Scales
	// Certificates is what certificate requests are signed with.
	Certificates certificates.Config
	// ClusterInfo is what nodes learn of the cluster.
	ClusterInfo clusterinfo.Config
	// NodeApproval says what no node may be called.
	NodeApproval nodeapproval.Config
	// APIServer is what default/kubernetes points to.
	APIServer apiserver.Config
}

// All returns the controllers in the order in which they start.
func All(d Deps) ([]controller.Controller, error) {
	var errs []error
	must := func(c controller.Controller, err error) controller.Controller {
		errs = append(errs, err)
		return c
	}
	// ev makes the recorder whose events name an upstream controller as source.
	ev := func(component string) record.EventRecorder { return d.Events.Recorder(component) }
	list := []controller.Controller{
		// What new namespaces, nodes and pods need.
		apiserver.New(d.Client, d.Informers, d.APIServer),
		clusterinfo.New(d.Client, d.ClusterInfo),
		kubedns.New(d.Client, d.Informers, d.ClusterDNS),
		servicecidr.New(d.Client, d.Informers, ev("service-cidrs-controller"), d.Clock, d.ServiceCIDRs),
		serviceaccount.New(d.Client, d.Informers),
		legacytoken.New(d.Client, d.Informers, legacytoken.Config{Sign: d.SignToken, CA: d.RootCA}),
		rootca.New(d.Client, d.Informers, d.RootCA),
		clusterrole.New(d.Client, d.Informers),
		certificates.New(d.Client, d.Informers, d.Clock, d.Certificates),
		nodeapproval.New(d.Client, d.Informers, d.Clock, d.NodeApproval),
		nodeapproval.NewKeys(d.Client, d.Informers, d.Clock),
		tokencleaner.New(d.Client, d.Clock),
		must(nodeipam.New(d.Client, d.Informers, ev("cidrAllocator"), d.NodeIPAM)),

		// Workloads.
		must(deployment.New(d.Client, d.Informers, ev("deployment-controller"), d.Clock)),
		must(replicaset.New(d.Client, d.Informers, ev("replicaset-controller"), d.Clock)),
		must(replicaset.NewReplicationController(d.Client, d.Informers, ev("replication-controller"), d.Clock)),
		must(statefulset.New(d.Client, d.Informers, ev("statefulset-controller"), d.Clock)),
		must(daemonset.New(d.Client, d.Informers, ev("daemonset-controller"), d.Clock)),
		must(job.New(d.Client, d.Informers, ev("job-controller"), d.Clock)),
		cronjob.New(d.Client, d.Informers, ev("cronjob-controller"), d.Clock),
		ttlafterfinished.New(d.Client, d.Informers, d.Clock),

		disruption.New(d.Client, d.Informers, ev("controllermanager"), d.Clock, d.Scales),

		// Nodes.
		must(nodelifecycle.New(d.Client, d.Informers, ev("node-controller"), d.Clock, d.NodeLifecycle)),
		must(tainteviction.New(d.Client, d.Informers, ev("taint-eviction-controller"), d.Clock)),
		must(podgc.New(d.Client, d.Informers, d.Clock, d.TerminatedPods)),

		// Services.
		endpointslice.New(d.Client, d.Informers, ev("endpoint-slice-controller"), d.Logger),
		endpointslicemirroring.New(d.Client, d.Informers),
		endpoints.New(d.Client, d.Informers, ev("endpoint-controller")),

		// Deletion.
		namespace.New(d.Client, d.Metadata, d.Informers, d.Clock),
		garbage.New(garbage.Config{
			Discovery: d.Client.Discovery(), Metadata: d.Metadata, Shared: shared(d.Informers),
			Events: ev("garbage-collector-controller"), Clock: d.Clock, Logger: d.Logger,
		}),
	}
	return list, errors.Join(errs...)
}
