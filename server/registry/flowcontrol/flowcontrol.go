// Package flowcontrol describes the resources of the API group
// flowcontrol.apiserver.k8s.io: flow schemas and priority level configurations.
package flowcontrol

import (
	"context"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// Group is the API group's name.
const Group = flowcontrolv1.GroupName

// FlowSchemas returns the resource flowschemas.
func FlowSchemas() *registry.Resource {
	type schema = flowcontrolv1.FlowSchema
	return &registry.Resource{
		Group: Group, Plural: "flowschemas", Singular: "flowschema", Kind: "FlowSchema",
		Versions: []registry.Version{{Name: "v1", New: registry.New[schema](), NewList: registry.New[flowcontrolv1.FlowSchemaList]()}},
		Rules: registry.Rules{
			Default: registry.Default(func(s *schema) {
				if s.Spec.MatchingPrecedence == 0 {
					s.Spec.MatchingPrecedence = 1000
				}
			}),
			PrepareCreate:            registry.Prepare(func(_ context.Context, s *schema) { s.Status = flowcontrolv1.FlowSchemaStatus{} }),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, s, old *schema) { s.Status = old.Status }),
			Generation:               true,
			Validate:                 registry.Validate(validateFlowSchema),
			ValidateUpdate:           registry.ValidateUpdate(validateFlowSchemaUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("PriorityLevel", table.Doc(flowcontrolv1.PriorityLevelConfigurationReference{}, "name")),
			table.String("MatchingPrecedence", table.Doc(flowcontrolv1.FlowSchemaSpec{}, "matchingPrecedence")),
			table.String("DistinguisherMethod", table.Doc(flowcontrolv1.FlowSchemaSpec{}, "distinguisherMethod")),
			table.Age(),
			table.String("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
		},
		Cells: registry.Cells(func(s *schema) []any {
			method, missing := "<none>", "?"
			if m := s.Spec.DistinguisherMethod; m != nil {
				method = string(m.Type)
			}
			for _, c := range s.Status.Conditions {
				if c.Type == flowcontrolv1.FlowSchemaConditionDangling {
					missing = string(c.Status)
					break
				}
			}
			return []any{s.Name, s.Spec.PriorityLevelConfiguration.Name, int64(s.Spec.MatchingPrecedence), method, table.Since(s.CreationTimestamp), missing}
		}),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, s, old *schema) {
				managed, version := s.ManagedFields, s.ResourceVersion
				s.ObjectMeta, s.Spec = *old.ObjectMeta.DeepCopy(), old.Spec
				s.ManagedFields, s.ResourceVersion = managed, version
			}),
			ValidateUpdate:           registry.ValidateUpdate(validateFlowSchemaStatus),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

// PriorityLevelConfigurations returns the resource prioritylevelconfigurations.
func PriorityLevelConfigurations() *registry.Resource {
	type level = flowcontrolv1.PriorityLevelConfiguration
	return &registry.Resource{
		Group: Group, Plural: "prioritylevelconfigurations", Singular: "prioritylevelconfiguration", Kind: "PriorityLevelConfiguration",
		Versions: []registry.Version{{Name: "v1", New: registry.New[level](), NewList: registry.New[flowcontrolv1.PriorityLevelConfigurationList]()}},
		Rules: registry.Rules{
			Default: registry.Default(defaultLevel),
			PrepareCreate: registry.Prepare(func(_ context.Context, l *level) {
				l.Status = flowcontrolv1.PriorityLevelConfigurationStatus{}
			}),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, l, old *level) { l.Status = old.Status }),
			Generation:               true,
			Validate:                 registry.Validate(validateLevel),
			ValidateUpdate:           registry.ValidateUpdate(validateLevelUpdate),
			AllowUnconditionalUpdate: true,
		},
		Columns: []table.Column{
			table.Name(),
			table.String("Type", table.Doc(flowcontrolv1.PriorityLevelConfigurationSpec{}, "type")),
			table.String("NominalConcurrencyShares", table.Doc(flowcontrolv1.LimitedPriorityLevelConfiguration{}, "nominalConcurrencyShares")),
			table.String("Queues", table.Doc(flowcontrolv1.QueuingConfiguration{}, "queues")),
			table.String("HandSize", table.Doc(flowcontrolv1.QueuingConfiguration{}, "handSize")),
			table.String("QueueLengthLimit", table.Doc(flowcontrolv1.QueuingConfiguration{}, "queueLengthLimit")),
			table.Age(),
		},
		Cells: registry.Cells(levelCells),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, l, old *level) {
				managed, version := l.ManagedFields, l.ResourceVersion
				l.ObjectMeta, l.Spec = *old.ObjectMeta.DeepCopy(), old.Spec
				l.ManagedFields, l.ResourceVersion = managed, version
			}),
			ValidateUpdate:           registry.ValidateUpdate(validateLevelStatus),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func levelCells(l *flowcontrolv1.PriorityLevelConfiguration) []any {
	const none = "<none>"
	shares, queues, hand, length := any(none), any(none), any(none), any(none)
	if limited := l.Spec.Limited; limited != nil {
		shares = int64(table.Or(limited.NominalConcurrencyShares, 0))
		if q := limited.LimitResponse.Queuing; q != nil {
			queues, hand, length = int64(q.Queues), int64(q.HandSize), int64(q.QueueLengthLimit)
		}
	}
	return []any{l.Name, string(l.Spec.Type), shares, queues, hand, length, table.Since(l.CreationTimestamp)}
}

func setDefault(p **int32, value int32) {
	if *p == nil {
		*p = &value
	}
}

func defaultLevel(l *flowcontrolv1.PriorityLevelConfiguration) {
	if e := l.Spec.Exempt; e != nil {
		setDefault(&e.NominalConcurrencyShares, 0)
		setDefault(&e.LendablePercent, 0)
	}
	limited := l.Spec.Limited
	if limited == nil {
		return
	}
	setDefault(&limited.NominalConcurrencyShares, 30)
	setDefault(&limited.LendablePercent, 0)
	q := limited.LimitResponse.Queuing
	if q == nil {
		return
	}
	if q.HandSize == 0 {
		q.HandSize = 8
	}
	if q.Queues == 0 {
		q.Queues = 64
	}
	if q.QueueLengthLimit == 0 {
		q.QueueLengthLimit = 50
	}
}
