// Package events describes the resources of the API group events.k8s.io: the
// events of the core group under their newer name and shape. They are stored once,
// as the core group's.
package events

import (
	"strings"

	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/registry"
	"skiff/server/registry/core"
)

// Group is the API group's name.
const Group = eventsv1.GroupName

// Events returns the resource events, which sees the core group's events, stored.
func Events(stored *registry.Resource) *registry.Resource {
	view := *stored
	view.Group = Group
	view.StoredAs = &schema.GroupResource{Group: stored.Group, Resource: stored.Plural}
	view.Versions = []registry.Version{{
		Name: "v1", New: registry.New[eventsv1.Event](), NewList: registry.New[eventsv1.EventList](),
		ToHub: core.EventFromV1, FromHub: core.EventToV1,
	}}
	view.WireFields = nil
	view.FieldNames, view.Fields = nil, func(o registry.Object) fields.Set { return renamed(stored.Fields(o)) }
	for _, name := range stored.FieldNames {
		if own, ok := ownName(name); ok {
			view.FieldNames = append(view.FieldNames, own)
		}
	}
	view.Rules.PlainMetadata = false
	view.Rules.Validate = registry.Validate(core.ValidateEventV1)
	view.Rules.ValidateUpdate = registry.ValidateUpdate(core.ValidateEventV1Update)
	return &view
}

// renamed gives selectable fields of the core group's events the names that they
// have here.
func renamed(set fields.Set) fields.Set {
	out := make(fields.Set, len(set))
	for name, value := range set {
		if own, ok := ownName(name); ok {
			out[own] = value
		}
	}
	return out
}

func ownName(name string) (string, bool) {
	if field, ok := strings.CutPrefix(name, "involvedObject."); ok {
		return "regarding." + field, true
	}
	switch name {
	case "reportingComponent":
		return "reportingController", true
	case "reason", "type":
		return name, true
	}
	return "", false // a field of old clients
}
