// Package noderestriction is the admission plugin NodeRestriction: it limits what a
// node writes to itself and to the pods bound to it. With the node authorizer, which limits
// what a node reads, it keeps a box that was broken into from taking the others along.
package noderestriction

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"skiff/server/admission"
)

// Deps is what the plugin looks at.
type Deps struct {
	Pods            corelisters.PodLister
	Nodes           corelisters.NodeLister
	ServiceAccounts corelisters.ServiceAccountLister
	// Client reads claims, volumes and CSI drivers, which are needed rarely.
	Client kubernetes.Interface
	// Authorizer is asked for exceptions (token audiences, certificate signers).
	Authorizer authorizer.UnconditionalAuthorizer
	// Identity returns a node's name, and whether the user is a node.
	Identity func(user.Info) (name string, isNode bool)
}

// Plugin is the plugin.
type Plugin struct{ Deps }

// New returns the plugin.
func New(d Deps) *Plugin { return &Plugin{d} }

// Name implements admission.Plugin.
func (*Plugin) Name() string { return "NodeRestriction" }

// write is one by a node.
type write struct {
	*admission.Attributes
	node string
}

// refuse makes the error of a refusal.
func (w write) refuse(format string, args ...any) error {
	return w.Forbidden(fmt.Errorf(format, args...))
}

func (w write) unexpectedType(o any) error {
	return w.refuse("unexpected type %T", o)
}

type check func(p *Plugin, ctx context.Context, w write) error

// checks are the resources that nodes write under restrictions; what they may do to
// others is the authorizer's business.
var checks = map[schema.GroupResource]check{
	{Resource: "pods"}:                                                     (*Plugin).pods,
	{Resource: "nodes"}:                                                    (*Plugin).nodes,
	{Resource: "persistentvolumeclaims"}:                                   (*Plugin).claims,
	{Resource: "serviceaccounts"}:                                          (*Plugin).tokens,
	{Group: "coordination.k8s.io", Resource: "leases"}:                     (*Plugin).leases,
	{Group: "storage.k8s.io", Resource: "csinodes"}:                        (*Plugin).csiNodes,
	{Group: "resource.k8s.io", Resource: "resourceslices"}:                 (*Plugin).resourceSlices,
	{Group: "certificates.k8s.io", Resource: "certificatesigningrequests"}: (*Plugin).signingRequests,
	{Group: "certificates.k8s.io", Resource: "podcertificaterequests"}:     (*Plugin).podCertificates,
}

// Admit implements admission.Mutator, though it changes nothing: it is to refuse
// before others do work.
func (p *Plugin) Admit(ctx context.Context, a *admission.Attributes) error {
	if a.Operation == admission.Connect {
		return nil
	}
	name, isNode := p.Identity(a.User)
	if !isNode {
		return nil
	}
	w := write{a, name}
	if name == "" {
		return w.refuse("could not determine node from user %q", a.User.GetName())
	}
	if f, ok := checks[a.Resource.GroupResource()]; ok {
		return f(p, ctx, w)
	}
	return nil
}
