package node

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// readNamespaced allows to get, list and watch single objects that are related.
func readNamespaced(is relation) decide {
	return func(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
		switch r.GetVerb() {
		case "get", "list", "watch":
		default:
			return deny("can only read resources of this type")
		}
		if r.GetSubresource() != "" {
			return deny("cannot read subresource")
		}
		if r.GetNamespace() == "" {
			return deny("can only read namespaced object of this type")
		}
		return related(a, ctx, r, is)
	}
}

// getOne allows to get single objects that are related.
func getOne(is relation) decide {
	return func(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
		if r.GetVerb() != "get" {
			return deny("can only get individual resources of this type")
		}
		if r.GetSubresource() != "" {
			return deny("cannot get subresource")
		}
		return related(a, ctx, r, is)
	}
}

func claims(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
	if r.GetSubresource() != "status" {
		return getOne(usesClaim)(a, ctx, r)
	}
	switch r.GetVerb() {
	case "update", "patch":
		return related(a, ctx, r, usesClaim)
	}
	return deny("can only get/update/patch this type")
}

func serviceAccounts(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
	if r.GetVerb() == "get" && r.GetSubresource() == "" {
		return readNamespaced(usesServiceAccount)(a, ctx, r)
	}
	if r.GetVerb() != "create" || r.GetName() == "" {
		return deny("can only create tokens for individual service accounts")
	}
	if r.GetSubresource() != "token" {
		return deny("can only create token subresource of serviceaccount")
	}
	return related(a, ctx, r, usesServiceAccount)
}

// nodes compares names, so that a node can look for itself before it exists.
func nodes(_ *Authorizer, _ context.Context, r request) (authorizer.Decision, string, error) {
	verb := r.GetVerb()
	switch r.GetSubresource() {
	case "":
		switch verb {
		case "create", "update", "patch":
			return allow()
		case "get", "list", "watch":
			switch r.GetName() {
			case r.node:
				return allow()
			case "":
				return deny("node '%s' cannot read all nodes, only its own Node object", r.node)
			}
			return deny("node '%s' cannot read '%s', only its own Node object", r.node, r.GetName())
		}
	case "status":
		if verb == "update" || verb == "patch" {
			return allow()
		}
	}
	return deny("")
}

func pods(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
	verb := r.GetVerb()
	switch r.GetSubresource() {
	case "":
		switch verb {
		case "get":
			return related(a, ctx, r, isPod)
		case "list", "watch":
			if selectsNode(r, "spec.nodeName") {
				return allow()
			}
			if r.GetName() != "" {
				return related(a, ctx, r, isPod)
			}
			return deny("can only list/watch pods with spec.nodeName field selector")
		case "create", "delete":
			return allow()
		}
	case "status":
		if verb == "update" || verb == "patch" {
			return allow()
		}
	case "eviction":
		if verb == "create" {
			return allow()
		}
	}
	return deny("")
}

func leases(_ *Authorizer, _ context.Context, r request) (authorizer.Decision, string, error) {
	if !isOwnVerb(r.GetVerb()) {
		return deny("can only get, create, update, patch, or delete a node lease")
	}
	if r.GetNamespace() != corev1.NamespaceNodeLease {
		return deny("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	// On create the name is not known here: NodeRestriction checks it.
	if r.GetVerb() != "create" && r.GetName() != r.node {
		return deny("can only access node lease with the same name as the requesting node")
	}
	return allow()
}

func csiNodes(_ *Authorizer, _ context.Context, r request) (authorizer.Decision, string, error) {
	switch r.GetSubresource() {
	case "":
	case "status":
		return deny("CSINode status access requires CSIVolumeHealth feature")
	default:
		return deny("cannot authorize CSINode subresources")
	}
	if !isOwnVerb(r.GetVerb()) {
		return deny("can only get, create, update, patch, or delete a CSINode")
	}
	if r.GetVerb() != "create" && r.GetName() != r.node {
		return deny("can only access CSINode with the same name as the requesting node")
	}
	return allow()
}

func isOwnVerb(verb string) bool {
	switch verb {
	case "get", "create", "update", "patch", "delete":
		return true
	}
	return false
}

func resourceSlices(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
	if r.GetSubresource() != "" {
		return deny("cannot authorize ResourceSlice subresources")
	}
	switch r.GetVerb() {
	case "create":
		return allow() // NodeRestriction checks the content
	case "get", "update", "patch", "delete":
		return related(a, ctx, r, hasSlice)
	case "watch", "list", "deletecollection":
		if selectsNode(r, "spec.nodeName") {
			return allow()
		}
		return deny("can only list/watch/deletecollection resourceslices with nodeName field selector")
	}
	return deny("only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection")
}

func podCertificateRequests(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error) {
	if r.GetSubresource() != "" {
		return deny("nodes may not access the status subresource of PodCertificateRequests")
	}
	switch r.GetVerb() {
	case "create":
		return allow() // NodeRestriction checks the content
	case "get":
		return related(a, ctx, r, hasPodCertificateRequest)
	case "list", "watch":
		if selectsNode(r, "spec.nodeName") {
			return allow()
		}
		return deny("can only list/watch podcertificaterequests with nodeName field selector")
	}
	return deny("nodes may not %s podcertificaterequests", r.GetVerb())
}
