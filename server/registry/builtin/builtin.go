// Package builtin is the one table of all resources that the API server has by
// itself: those of Kubernetes v1.37's stable groups.
//
//	resources := builtin.Resources(builtin.Deps{...})
//
// What a resource is like is said in its group's package.
package builtin

import (
	"skiff/server/registry"
	"skiff/server/registry/admissionregistration"
	"skiff/server/registry/apiextensions"
	"skiff/server/registry/apiregistration"
	"skiff/server/registry/apps"
	"skiff/server/registry/authentication"
	"skiff/server/registry/authorization"
	"skiff/server/registry/autoscaling"
	"skiff/server/registry/batch"
	"skiff/server/registry/certificates"
	"skiff/server/registry/coordination"
	"skiff/server/registry/core"
	"skiff/server/registry/discovery"
	"skiff/server/registry/events"
	"skiff/server/registry/flowcontrol"
	"skiff/server/registry/networking"
	"skiff/server/registry/node"
	"skiff/server/registry/policy"
	"skiff/server/registry/rbac"
	"skiff/server/registry/resource"
	"skiff/server/registry/scheduling"
	"skiff/server/registry/storage"
	"skiff/server/registry/storagemigration"
)

// Deps are what resources need of the server around them. The zero value makes a
// table that can be looked at and stores everything, but refuses or leaves out
// what leads elsewhere (logs, tokens, reviews).
type Deps struct {
	Core           core.Deps
	RBAC           rbac.Deps
	Certificates   certificates.Deps
	Authentication authentication.Deps
	Authorization  authorization.Deps
}

// Resources returns the table, one line per resource but for the core group's,
// group by group, in the order in which clients are told of the groups.
func Resources(d Deps) []*registry.Resource {
	table := core.Resources(d.Core)
	table = append(table,
		apiregistration.APIServices(),
		apps.ControllerRevisions(),
		apps.DaemonSets(),
		apps.Deployments(),
		apps.ReplicaSets(),
		apps.StatefulSets(),
		events.Events(find(table, "events")),
	)
	table = append(table, authentication.Resources(d.Authentication)...) // tokenreviews, selfsubjectreviews
	table = append(table, authorization.Resources(d.Authorization)...)   // subjectaccessreviews and their kin
	return append(table,
		autoscaling.HorizontalPodAutoscalers(),
		batch.CronJobs(),
		batch.Jobs(),
		certificates.CertificateSigningRequests(d.Certificates),
		certificates.ClusterTrustBundles(),
		certificates.PodCertificateRequests(d.Certificates),
		networking.IngressClasses(),
		networking.Ingresses(),
		networking.IPAddresses(),
		networking.NetworkPolicies(),
		networking.ServiceCIDRs(),
		policy.PodDisruptionBudgets(),
		rbac.ClusterRoleBindings(d.RBAC),
		rbac.ClusterRoles(d.RBAC),
		rbac.RoleBindings(d.RBAC),
		rbac.Roles(d.RBAC),
		storage.CSIDrivers(),
		storage.CSINodes(),
		storage.CSIStorageCapacities(),
		storage.StorageClasses(),
		storage.VolumeAttachments(),
		storage.VolumeAttributesClasses(),
		admissionregistration.MutatingAdmissionPolicies(),
		admissionregistration.MutatingAdmissionPolicyBindings(),
		admissionregistration.MutatingWebhookConfigurations(),
		admissionregistration.ValidatingAdmissionPolicies(),
		admissionregistration.ValidatingAdmissionPolicyBindings(),
		admissionregistration.ValidatingWebhookConfigurations(),
		apiextensions.CustomResourceDefinitions(),
		scheduling.PriorityClasses(),
		coordination.Leases(),
		node.RuntimeClasses(),
		discovery.EndpointSlices(),
		resource.DeviceClasses(),
		resource.DeviceTaintRules(),
		resource.ResourceClaims(),
		resource.ResourceClaimTemplates(),
		resource.ResourceSlices(),
		flowcontrol.FlowSchemas(),
		flowcontrol.PriorityLevelConfigurations(),
		storagemigration.StorageVersionMigrations(),
	)
}

// find returns the resource of that name.
func find(table []*registry.Resource, plural string) *registry.Resource {
	for _, r := range table {
		if r.Plural == plural {
			return r
		}
	}
	panic("no resource " + plural + " in the core group")
}
