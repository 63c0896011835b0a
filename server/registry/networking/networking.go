// Package networking describes the resources of the API group networking.k8s.io:
// network policies, ingresses and their classes, service address ranges and the
// addresses taken from them.
package networking

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = networkingv1.GroupName

// ingressClassAnnotation is how a class was named before there was a field.
const ingressClassAnnotation = "kubernetes.io/ingress.class"

// NetworkPolicies returns the resource networkpolicies.
func NetworkPolicies() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "networkpolicies", Singular: "networkpolicy", Kind: "NetworkPolicy", Namespaced: true,
		ShortNames: []string{"netpol"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[networkingv1.NetworkPolicy](), NewList: registry.New[networkingv1.NetworkPolicyList]()}},
		Rules: registry.Rules{
			Default:                  registry.Default(defaultNetworkPolicy),
			Generation:               true,
			Validate:                 registry.Validate(validateNetworkPolicy),
			ValidateUpdate:           registry.ValidateUpdate(validateNetworkPolicyUpdate),
			Warnings:                 networkPolicyWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Pod-Selector", table.Doc(networkingv1.NetworkPolicySpec{}, "podSelector")),
			table.Age(),
		},
		Cells: registry.Cells(func(p *networkingv1.NetworkPolicy) []any {
			return []any{p.Name, metav1.FormatLabelSelector(&p.Spec.PodSelector), table.Since(p.CreationTimestamp)}
		}),
	}
}

func defaultNetworkPolicy(p *networkingv1.NetworkPolicy) {
	if len(p.Spec.PolicyTypes) == 0 {
		p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(p.Spec.Egress) != 0 {
			p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
	}
	for i := range p.Spec.Ingress {
		defaultPolicyPorts(p.Spec.Ingress[i].Ports)
	}
	for i := range p.Spec.Egress {
		defaultPolicyPorts(p.Spec.Egress[i].Ports)
	}
}

func defaultPolicyPorts(ports []networkingv1.NetworkPolicyPort) {
	for i := range ports {
		if ports[i].Protocol == nil {
			tcp := corev1.ProtocolTCP
			ports[i].Protocol = &tcp
		}
	}
}

func networkPolicyWarnings(_ context.Context, obj, _ registry.Object) []string {
	p := obj.(*networkingv1.NetworkPolicy)
	var warnings []string
	peers := func(list []networkingv1.NetworkPolicyPeer, fld *field.Path) {
		for i := range list {
			block := list[i].IPBlock
			if block == nil {
				continue
			}
			path := fld.Index(i).Child("ipBlock")
			warnings = append(warnings, utilvalidation.GetWarningsForCIDR(path.Child("cidr"), block.CIDR)...)
			for k, except := range block.Except {
				warnings = append(warnings, utilvalidation.GetWarningsForCIDR(path.Child("except").Index(k), except)...)
			}
		}
	}
	for i := range p.Spec.Ingress {
		peers(p.Spec.Ingress[i].From, field.NewPath("spec", "ingress").Index(i).Child("from"))
	}
	for i := range p.Spec.Egress {
		peers(p.Spec.Egress[i].To, field.NewPath("spec", "egress").Index(i).Child("to"))
	}
	return warnings
}

// Ingresses returns the resource ingresses.
func Ingresses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "ingresses", Singular: "ingress", Kind: "Ingress", Namespaced: true,
		ShortNames: []string{"ing"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[networkingv1.Ingress](), NewList: registry.New[networkingv1.IngressList]()}},
		Rules: registry.Rules{
			PrepareCreate: registry.Prepare(func(_ context.Context, i *networkingv1.Ingress) { i.Status = networkingv1.IngressStatus{} }),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, i, old *networkingv1.Ingress) { i.Status = old.Status }),
			Generation:    true,
			Validate:      registry.Validate(validateIngress), ValidateUpdate: registry.ValidateUpdate(validateIngressUpdate),
			Warnings: func(_ context.Context, obj, old registry.Object) []string {
				i := obj.(*networkingv1.Ingress)
				if _, ok := i.Annotations[ingressClassAnnotation]; ok && old == nil && i.Spec.IngressClassName == nil {
					return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", ingressClassAnnotation)}
				}
				return nil
			},
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Class", "The name of the IngressClass resource that should be used for additional configuration"),
			table.String("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
			table.String("Address", "Address is a list containing ingress points for the load-balancer"),
			table.String("Ports", "Ports of TLS configurations that open"),
			table.Age(),
		},
		Cells: registry.Cells(ingressCells),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, i, old *networkingv1.Ingress) { i.Spec = old.Spec }),
			ValidateUpdate:           registry.ValidateUpdate(validateIngressStatusUpdate),
			Warnings:                 ingressStatusWarnings,
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func ingressStatusWarnings(_ context.Context, obj, _ registry.Object) []string {
	var warnings []string
	fld := field.NewPath("status", "loadBalancer", "ingress")
	for i, in := range obj.(*networkingv1.Ingress).Status.LoadBalancer.Ingress {
		if in.IP != "" {
			warnings = append(warnings, utilvalidation.GetWarningsForIP(fld.Index(i), in.IP)...)
		}
	}
	return warnings
}

func ingressCells(i *networkingv1.Ingress) []any {
	ports := "80"
	if len(i.Spec.TLS) > 0 {
		ports = "80, 443"
	}
	var addresses []string
	for _, in := range i.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			addresses = append(addresses, in.IP)
		} else if in.Hostname != "" {
			addresses = append(addresses, in.Hostname)
		}
	}
	slices.Sort(addresses)
	return []any{
		i.Name, table.Or(i.Spec.IngressClassName, "<none>"), hosts(i.Spec.Rules),
		strings.Join(slices.Compact(addresses), ","), ports, table.Since(i.CreationTimestamp),
	}
}

// hosts shows the first three hosts of rules, and how many more rules there are.
func hosts(rules []networkingv1.IngressRule) string {
	const shown = 3
	var list []string
	more := false
	for i := range rules {
		if more = len(list) == shown; more {
			break
		}
		if rules[i].Host != "" {
			list = append(list, rules[i].Host)
		}
	}
	switch {
	case len(list) == 0:
		return "*"
	case more:
		return fmt.Sprintf("%s + %d more...", strings.Join(list, ","), len(rules)-shown)
	default:
		return strings.Join(list, ",")
	}
}

// IngressClasses returns the resource ingressclasses.
func IngressClasses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "ingressclasses", Singular: "ingressclass", Kind: "IngressClass",
		Versions: []registry.Version{{Name: "v1", New: registry.New[networkingv1.IngressClass](), NewList: registry.New[networkingv1.IngressClassList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(c *networkingv1.IngressClass) {
				if p := c.Spec.Parameters; p != nil && p.Scope == nil {
					scope := networkingv1.IngressClassParametersReferenceScopeCluster
					p.Scope = &scope
				}
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateIngressClass),
			ValidateUpdate:           registry.ValidateUpdate(validateIngressClassUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Controller", "Controller that is responsible for handling this class"),
			table.String("Parameters", "A reference to a resource with additional parameters"),
			table.Age(),
		},
		Cells: registry.Cells(func(c *networkingv1.IngressClass) []any {
			name := c.Name
			if c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true" {
				name += " (default)"
			}
			parameters := "<none>"
			if p := c.Spec.Parameters; p != nil {
				parameters = p.Kind
				if p.APIGroup != nil {
					parameters += "." + *p.APIGroup
				}
				parameters += "/" + p.Name
			}
			return []any{name, c.Spec.Controller, parameters, table.Since(c.CreationTimestamp)}
		}),
	}
}

// ServiceCIDRs returns the resource servicecidrs.
func ServiceCIDRs() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "servicecidrs", Singular: "servicecidr", Kind: "ServiceCIDR",
		Versions: []registry.Version{{Name: "v1", New: registry.New[networkingv1.ServiceCIDR](), NewList: registry.New[networkingv1.ServiceCIDRList]()}},
		Rules: registry.Rules{
			PrepareCreate:            registry.Prepare(func(_ context.Context, c *networkingv1.ServiceCIDR) { c.Status = networkingv1.ServiceCIDRStatus{} }),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, c, old *networkingv1.ServiceCIDR) { c.Status = old.Status }),
			Validate:                 registry.Validate(validateServiceCIDR),
			ValidateUpdate:           registry.ValidateUpdate(validateServiceCIDRUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("CIDRs", table.Doc(networkingv1.ServiceCIDRSpec{}, "cidrs")),
			table.Age(),
		},
		Cells: registry.Cells(func(c *networkingv1.ServiceCIDR) []any {
			return []any{c.Name, strings.Join(c.Spec.CIDRs, ","), table.Since(c.CreationTimestamp)}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *networkingv1.ServiceCIDR) {
				c.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(&c.ObjectMeta, &old.ObjectMeta)
			}),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

// IPAddresses returns the resource ipaddresses.
func IPAddresses() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "ipaddresses", Singular: "ipaddress", Kind: "IPAddress",
		ShortNames: []string{"ip"},
		Versions:   []registry.Version{{Name: "v1", New: registry.New[networkingv1.IPAddress](), NewList: registry.New[networkingv1.IPAddressList]()}},
		Rules: registry.Rules{
			Validate:                 registry.Validate(validateIPAddress),
			ValidateUpdate:           registry.ValidateUpdate(validateIPAddressUpdate),
			ValidateName:             validateIPAddressName,
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("ParentRef", table.Doc(networkingv1.IPAddressSpec{}, "parentRef")),
			table.Age(),
		},
		Cells: registry.Cells(func(a *networkingv1.IPAddress) []any {
			return []any{a.Name, parentName(a.Spec.ParentRef), table.Since(a.CreationTimestamp)}
		}),
	}
}

func parentName(ref *networkingv1.ParentReference) string {
	if ref == nil {
		return "<none>"
	}
	name := strings.ToLower(schema.GroupResource{Group: ref.Group, Resource: ref.Resource}.String())
	if ref.Namespace != "" {
		name += "/" + ref.Namespace
	}
	return name + "/" + ref.Name
}
