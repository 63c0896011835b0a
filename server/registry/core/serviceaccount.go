package core

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

const enforceMountableSecrets = "kubernetes.io/enforce-mountable-secrets"

func serviceAccounts(d Deps) *registry.Resource {
	r := resourceOf[corev1.ServiceAccount, corev1.ServiceAccountList]("serviceaccounts", "ServiceAccount", "sa")
	r.ReturnsDeleted = true
	// Of a secret, only the name is kept.
	r.Rules.PrepareCreate = registry.Prepare(func(_ context.Context, sa *corev1.ServiceAccount) { onlyNames(sa) })
	r.Rules.PrepareUpdate = registry.PrepareUpdate(func(_ context.Context, sa, _ *corev1.ServiceAccount) { onlyNames(sa) })
	r.Rules.Warnings = func(_ context.Context, obj, old registry.Object) []string {
		if old != nil {
			if _, ok := old.GetAnnotations()[enforceMountableSecrets]; ok {
				return nil
			}
		}
		if _, ok := obj.GetAnnotations()[enforceMountableSecrets]; !ok {
			return nil
		}
		return []string{fmt.Sprintf("metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets", enforceMountableSecrets)}
	}
	r.Columns = []table.Column{table.Name(), table.Age()}
	r.Cells = registry.Cells(func(sa *corev1.ServiceAccount) []any {
		return []any{sa.Name, table.Since(sa.CreationTimestamp)}
	})
	if d.Token != nil {
		r.Subresources = []registry.Subresource{{
			Name:   "token",
			Kind:   authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"),
			New:    registry.New[authenticationv1.TokenRequest](),
			Create: d.Token,
		}}
	}
	return r
}

func onlyNames(sa *corev1.ServiceAccount) {
	for i, ref := range sa.Secrets {
		sa.Secrets[i] = corev1.ObjectReference{Name: ref.Name}
	}
}
