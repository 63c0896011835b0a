// Package node authorizes nodes (system:node:NAME in the group system:nodes): a node may
// read the secrets, config maps, claims and volumes of pods that are bound to it, make
// tokens of their service accounts, and deal with its own Node, Lease and CSINode.
// What it may write into those is the admission plugin NodeRestriction's business.
//
// Upstream keeps a graph of all such relations in memory. Here the question is answered
// from the pods of the one node (an index of the shared pod informer), of which there are
// about a hundred: nothing to build, to keep in step, or to hold. What pods do not tell
// (volumes, attachments, resource slices) is asked for so rarely that it is
// read from the API server at that moment.
package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"skiff/server/authz/rbac"
)

// Identity returns the node's name, and whether u is a node at all.
func Identity(u user.Info) (name string, isNode bool) {
	if u == nil || !slices.Contains(u.GetGroups(), user.NodesGroup) {
		return "", false
	}
	return strings.CutPrefix(u.GetName(), "system:node:")
}

// nodeIndex names the index of pods by node.
const nodeIndex = "authz.node"

// Authorizer decides about nodes' requests, and has no opinion on others.
type Authorizer struct {
	pods   cache.Indexer
	client kubernetes.Interface
	rules  []rbacv1.PolicyRule
}

// New returns an Authorizer. rules are what every node may do with resources that
// are not divided between nodes (the role system:node). The informer must not have
// started.
func New(pods coreinformers.PodInformer, client kubernetes.Interface, rules []rbacv1.PolicyRule) (*Authorizer, error) {
	if err := pods.Informer().AddIndexers(cache.Indexers{nodeIndex: podNode}); err != nil {
		return nil, fmt.Errorf("index pods by node: %w", err)
	}
	return &Authorizer{pods: pods.Informer().GetIndexer(), client: client, rules: rules}, nil
}

func podNode(obj any) ([]string, error) {
	if p, ok := obj.(*corev1.Pod); ok && p.Spec.NodeName != "" {
		return []string{p.Spec.NodeName}, nil
	}
	return nil, nil
}

// request is one that a node makes.
type request struct {
	authorizer.Attributes
	node string
}

// deny is the answer "no opinion", with a reason that the user sees.
func deny(format string, args ...any) (authorizer.Decision, string, error) {
	return authorizer.DecisionNoOpinion, fmt.Sprintf(format, args...), nil
}

func allow() (authorizer.Decision, string, error) {
	return authorizer.DecisionAllow, "", nil
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (a *Authorizer) Authorize(ctx context.Context, attrs authorizer.Attributes) (authorizer.Decision, string, error) {
	name, isNode := Identity(attrs.GetUser())
	if !isNode {
		return deny("")
	}
	if name == "" {
		return deny("unknown node for user %q", attrs.GetUser().GetName())
	}
	if attrs.IsResourceRequest() {
		r := request{attrs, name}
		if f, ok := divided[schema.GroupResource{Group: attrs.GetAPIGroup(), Resource: attrs.GetResource()}]; ok {
			return f(a, ctx, r)
		}
	}
	if rbac.AnyAllows(a.rules, attrs) {
		return allow()
	}
	return deny("")
}

// RulesFor implements authorizer.RuleResolver: a node's rights cannot be listed.
func (a *Authorizer) RulesFor(_ context.Context, u user.Info, _ string) ([]authorizer.ResourceRuleInfo, []authorizer.NonResourceRuleInfo, bool, error) {
	if _, isNode := Identity(u); isNode {
		return nil, nil, true, fmt.Errorf("node authorizer does not support user rule resolution")
	}
	return nil, nil, false, nil
}

type decide func(a *Authorizer, ctx context.Context, r request) (authorizer.Decision, string, error)

// divided are the resources of which each node has its own.
var divided = map[schema.GroupResource]decide{
	{Resource: "secrets"}:                                              readNamespaced(usesSecret),
	{Resource: "configmaps"}:                                           readNamespaced(usesConfigMap),
	{Resource: "persistentvolumeclaims"}:                               claims,
	{Resource: "persistentvolumes"}:                                    getOne(usesVolume),
	{Resource: "serviceaccounts"}:                                      serviceAccounts,
	{Resource: "nodes"}:                                                nodes,
	{Resource: "pods"}:                                                 pods,
	{Group: "coordination.k8s.io", Resource: "leases"}:                 leases,
	{Group: "storage.k8s.io", Resource: "csinodes"}:                    csiNodes,
	{Group: "storage.k8s.io", Resource: "volumeattachments"}:           getOne(hasAttachment),
	{Group: "resource.k8s.io", Resource: "resourceclaims"}:             getOne(usesResourceClaim),
	{Group: "resource.k8s.io", Resource: "resourceslices"}:             resourceSlices,
	{Group: "certificates.k8s.io", Resource: "podcertificaterequests"}: podCertificateRequests,
}

// related finishes with the question whether the object belongs to the node.
func related(a *Authorizer, ctx context.Context, r request, is relation) (authorizer.Decision, string, error) {
	if r.GetName() == "" {
		return deny("No Object name found")
	}
	if !is(a, ctx, r) {
		return deny("no relationship found between node '%s' and this object", r.node)
	}
	return allow()
}

// selectsNode tells whether a list or watch is narrowed to the node by a field.
func selectsNode(r request, fieldName string) bool {
	reqs, err := r.GetFieldSelector()
	return err == nil && slices.ContainsFunc(reqs, func(q fields.Requirement) bool {
		return q.Field == fieldName && q.Operator == selection.Equals && q.Value == r.node
	})
}
