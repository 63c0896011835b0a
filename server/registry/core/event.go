package core

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// Events describes the events of the core group. They are kept for ttl, and may be
// lost with the power. The group events.k8s.io shows the same objects under other
// names: its resource is stored as this one (StoredAs), converts with EventFromV1
// and EventToV1 of this package, and validates with ValidateEventV1.
func Events(ttl time.Duration) *registry.Resource {
	r := resourceOf[corev1.Event, corev1.EventList]("events", "Event", "ev")
	r.Rules.CreateOnUpdate = true
	r.Rules.PlainMetadata = true
	r.Rules.Validate = registry.Validate(func(_ context.Context, e *corev1.Event) field.ErrorList {
		return validateEvent(e, "reportingComponent")
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, e, _ *corev1.Event) field.ErrorList {
		return validateEvent(e, "reportingComponent")
	})
	r.Volatile = func(_, _ registry.Object) bool { return true }
	r.TTL = func(registry.Object) int64 { return int64(ttl / time.Second) }
	r.FieldNames = EventFieldNames
	r.WireFields = slices.DeleteFunc(slices.Clone(EventFieldNames), func(name string) bool { return name == "source" })
	r.Fields = EventFields
	r.Columns = EventColumns()
	r.Cells = registry.Cells(EventCells)
	return r
}

// EventFieldNames are the fields that events can be selected by.
var EventFieldNames = []string{
	"involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
	"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath",
	"reason", "reportingComponent", "source", "type",
}

// EventFields returns the selectable fields of a *corev1.Event.
func EventFields(obj registry.Object) fields.Set {
	e := obj.(*corev1.Event)
	return fields.Set{
		"involvedObject.kind":            e.InvolvedObject.Kind,
		"involvedObject.namespace":       e.InvolvedObject.Namespace,
		"involvedObject.name":            e.InvolvedObject.Name,
		"involvedObject.uid":             string(e.InvolvedObject.UID),
		"involvedObject.apiVersion":      e.InvolvedObject.APIVersion,
		"involvedObject.resourceVersion": e.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath":       e.InvolvedObject.FieldPath,
		"reason":                         e.Reason,
		"reportingComponent":             e.ReportingController,
		"source":                         or(e.Source.Component, e.ReportingController),
		"type":                           e.Type,
	}
}

// The longest values of an event's fields in characters.
const (
	maxEventField = 128
	maxEventNote  = 1024
)

// validateEvent checks what holds for events of both groups; controller is the
// name that the group gives to the reporting controller.
func validateEvent(e *corev1.Event, controller string) field.ErrorList {
	const mismatch = "does not match event.namespace"
	object, at := e.InvolvedObject.Namespace, path("involvedObject", "namespace")
	var errs field.ErrorList
	if e.EventTime.IsZero() { // written by an old client
		if object == "" && e.Namespace != "" && e.Namespace != metav1.NamespaceDefault || object != "" && object != e.Namespace {
			errs = append(errs, field.Invalid(at, object, mismatch))
		}
		return errs
	}
	if object == "" && e.Namespace != metav1.NamespaceDefault && e.Namespace != metav1.NamespaceSystem {
		errs = append(errs, field.Invalid(at, object, mismatch))
	}
	if e.ReportingController == "" {
		errs = append(errs, field.Required(path(controller), ""))
	}
	errs = append(errs, podtemplate.QualifiedName(e.ReportingController, path(controller))...)
	for _, f := range []struct{ name, value string }{
		{"reportingInstance", e.ReportingInstance}, {"action", e.Action}, {"reason", e.Reason},
	} {
		if f.value == "" {
			errs = append(errs, field.Required(path(f.name), ""))
		}
		if len(f.value) > maxEventField {
			errs = append(errs, field.Invalid(path(f.name), "", fmt.Sprintf("can have at most %v characters", maxEventField)))
		}
	}
	if len(e.Message) > maxEventNote {
		errs = append(errs, field.Invalid(path("message"), "", fmt.Sprintf("can have at most %v characters", maxEventNote)))
	}
	return errs
}

// ValidateEventV1 checks an event that is created through events.k8s.io/v1, where
// the old fields may not be used.
func ValidateEventV1(_ context.Context, e *corev1.Event) field.ErrorList {
	errs := validateEvent(e, "reportingController")
	errs = append(errs, validateSeries(e.Series)...)
	if e.EventTime.IsZero() {
		errs = append(errs, field.Required(path("eventTime"), ""))
	}
	if e.Type != corev1.EventTypeNormal && e.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(path("type"), "", fmt.Sprintf("has invalid value: %v", e.Type)))
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"firstTimestamp", !e.FirstTimestamp.IsZero()},
		{"lastTimestamp", !e.LastTimestamp.IsZero()},
		{"count", e.Count != 0},
		{"source", e.Source.Component != "" || e.Source.Host != ""},
	} {
		if f.set {
			errs = append(errs, field.Invalid(path(f.name), "", "needs to be unset"))
		}
	}
	return errs
}

// ValidateEventV1Update checks an update through events.k8s.io/v1, where only the
// series goes on.
func ValidateEventV1Update(_ context.Context, e, old *corev1.Event) field.ErrorList {
	errs := validateEvent(e, "reportingController")
	if !reflect.DeepEqual(e.Series, old.Series) {
		errs = append(errs, validateSeries(e.Series)...)
	}
	same := func(value, before any, name string) {
		errs = append(errs, check.Immutable(value, before, path(name))...)
	}
	same(e.InvolvedObject, old.InvolvedObject, "involvedObject")
	same(e.Reason, old.Reason, "reason")
	same(e.Message, old.Message, "message")
	same(e.Source, old.Source, "source")
	same(e.FirstTimestamp, old.FirstTimestamp, "firstTimestamp")
	same(e.LastTimestamp, old.LastTimestamp, "lastTimestamp")
	same(e.Count, old.Count, "count")
	same(e.Reason, old.Reason, "reason")
	same(e.Type, old.Type, "type")
	// The wire carries microseconds.
	if !e.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		same(e.EventTime, old.EventTime, "eventTime")
	}
	same(e.Action, old.Action, "action")
	same(e.Related, old.Related, "related")
	same(e.ReportingController, old.ReportingController, "reportingController")
	same(e.ReportingInstance, old.ReportingInstance, "reportingInstance")
	return errs
}

func validateSeries(s *corev1.EventSeries) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if s.Count < 2 {
		errs = append(errs, field.Invalid(path("series.count"), "", "should be at least 2"))
	}
	if s.LastObservedTime.IsZero() {
		errs = append(errs, field.Required(path("series.lastObservedTime"), ""))
	}
	return errs
}

// EventColumns are the columns of both groups' events.
func EventColumns() []table.Column {
	doc := func(name string) string { return table.Doc(corev1.Event{}, name) }
	name := table.Name()
	name.Priority = 1
	return []table.Column{
		table.String("Last Seen", doc("lastTimestamp")),
		table.String("Type", doc("type")),
		table.String("Reason", doc("reason")),
		table.String("Object", doc("involvedObject")),
		table.Wide("Subobject", table.Doc(corev1.ObjectReference{}, "fieldPath")),
		table.Wide("Source", doc("source")),
		table.String("Message", doc("message")),
		table.Wide("First Seen", doc("firstTimestamp")),
		table.Wide("Count", doc("count")),
		name,
	}
}

// EventCells are the cells for EventColumns.
func EventCells(e *corev1.Event) []any {
	first := table.Since(e.FirstTimestamp)
	if e.FirstTimestamp.IsZero() {
		first = sinceMicro(e.EventTime)
	}
	last, count := table.Since(e.LastTimestamp), e.Count
	if e.LastTimestamp.IsZero() {
		last = first
	}
	if e.Series != nil {
		last, count = sinceMicro(e.Series.LastObservedTime), e.Series.Count
	} else if count == 0 {
		count = 1
	}
	object := strings.ToLower(e.InvolvedObject.Kind)
	if e.InvolvedObject.Name != "" {
		object += "/" + e.InvolvedObject.Name
	}
	source := or(e.Source.Component, e.ReportingController)
	if host := or(e.Source.Host, e.ReportingInstance); host != "" {
		source += ", " + host
	}
	return []any{
		last, e.Type, e.Reason, object, e.InvolvedObject.FieldPath, source, strings.TrimSpace(e.Message), first, int64(count), e.Name,
	}
}

func sinceMicro(t metav1.MicroTime) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(t.Time))
}
