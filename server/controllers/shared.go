package controllers

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// shared are the informers that the process has anyway, which the garbage
// collector then needs no watch of its own for.
func shared(f informers.SharedInformerFactory) map[schema.GroupVersionResource]cache.SharedIndexInformer {
	core, apps, batch, rbac := f.Core().V1(), f.Apps().V1(), f.Batch().V1(), f.Rbac().V1()
	r := func(group, resource string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: group, Version: "v1", Resource: resource}
	}
	return map[schema.GroupVersionResource]cache.SharedIndexInformer{
		r("", "pods"):                   core.Pods().Informer(),
		r("", "nodes"):                  core.Nodes().Informer(),
		r("", "namespaces"):             core.Namespaces().Informer(),
		r("", "services"):               core.Services().Informer(),
		r("", "endpoints"):              core.Endpoints().Informer(),
		r("", "serviceaccounts"):        core.ServiceAccounts().Informer(),
		r("", "replicationcontrollers"): core.ReplicationControllers().Informer(),
		r("", "persistentvolumeclaims"): core.PersistentVolumeClaims().Informer(),

		r("apps", "deployments"):         apps.Deployments().Informer(),
		r("apps", "replicasets"):         apps.ReplicaSets().Informer(),
		r("apps", "statefulsets"):        apps.StatefulSets().Informer(),
		r("apps", "daemonsets"):          apps.DaemonSets().Informer(),
		r("apps", "controllerrevisions"): apps.ControllerRevisions().Informer(),

		r("batch", "jobs"):     batch.Jobs().Informer(),
		r("batch", "cronjobs"): batch.CronJobs().Informer(),

		r("policy", "poddisruptionbudgets"):                    f.Policy().V1().PodDisruptionBudgets().Informer(),
		r("discovery.k8s.io", "endpointslices"):                f.Discovery().V1().EndpointSlices().Informer(),
		r("coordination.k8s.io", "leases"):                     f.Coordination().V1().Leases().Informer(),
		r("certificates.k8s.io", "certificatesigningrequests"): f.Certificates().V1().CertificateSigningRequests().Informer(),
		r("networking.k8s.io", "servicecidrs"):                 f.Networking().V1().ServiceCIDRs().Informer(),
		r("networking.k8s.io", "ipaddresses"):                  f.Networking().V1().IPAddresses().Informer(),
		r("rbac.authorization.k8s.io", "clusterroles"):         rbac.ClusterRoles().Informer(),
	}
}
