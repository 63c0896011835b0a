package registry

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// Selector narrows a list or watch; nil members select everything.
type Selector struct {
	Labels labels.Selector
	Fields fields.Selector
}

// match is a Selector made ready: what the key can answer is told apart from
// what needs the object.
type match struct {
	labels labels.Selector
	// fields needs the object; nil if the key says all.
	fields fields.Selector
	// wire tells that fields needs nothing which has to be decoded.
	wire bool
	// keyFields is answered by namespace and name alone.
	keyFields fields.Selector
	// name is the only name that can match, "" if there may be several.
	name string
}

func (m match) everything() bool { return m.labels == nil && m.fields == nil && m.keyFields == nil }

// narrow prepares the selector. A single namespace in it replaces an empty
// *namespace.
func (sel Selector) narrow(s *Store, namespace *string) match {
	var m match
	if sel.Labels != nil && !sel.Labels.Empty() {
		m.labels = sel.Labels
	}
	if sel.Fields == nil || sel.Fields.Empty() {
		return m
	}
	m.keyFields, m.wire = sel.Fields, true
	for _, r := range sel.Fields.Requirements() {
		m.wire = m.wire && s.inWire(r.Field)
		if r.Field != "metadata.name" && r.Field != "metadata.namespace" {
			m.fields, m.keyFields = sel.Fields, nil
		}
	}
	if name, ok := sel.Fields.RequiresExactMatch("metadata.name"); ok && len(pathSegment(name, false)) == 0 {
		m.name = name
	}
	if ns, ok := sel.Fields.RequiresExactMatch("metadata.namespace"); ok && s.res.Namespaced && *namespace == "" && len(pathSegment(ns, false)) == 0 {
		*namespace = ns
	}
	return m
}

// matches tells whether a stored object is selected. decoded, if not nil,
// returns the object where it is decoded anyway.
func (s *Store) matches(m match, key string, value []byte, revision int64, decoded func() (Object, error)) (bool, error) {
	if m.keyFields != nil || m.fields != nil {
		namespace, name := s.Name(key)
		if m.name != "" && m.name != name {
			return false, nil
		}
		if m.keyFields != nil && !m.keyFields.Matches(fields.Set{"metadata.name": name, "metadata.namespace": namespace}) {
			return false, nil
		}
	}
	if m.labels != nil {
		l, err := s.codec.labels(value)
		if err != nil {
			return false, err
		}
		if !m.labels.Matches(l) {
			return false, nil
		}
	}
	if m.fields == nil {
		return true, nil
	}
	if m.wire {
		return m.fields.Matches(wireFields{s, key, value}), nil
	}
	if decoded == nil {
		decoded = func() (Object, error) { return s.Decode(key, value, revision) }
	}
	obj, err := decoded()
	if err != nil {
		return false, err
	}
	return m.fields.Matches(s.fieldSet(obj)), nil
}

// fieldSet returns what field selectors can select by.
func (s *Store) fieldSet(obj Object) fields.Set {
	set := fields.Set{}
	if s.res.Fields != nil {
		if own := s.res.Fields(obj); own != nil {
			set = own
		}
	}
	set["metadata.name"] = obj.GetName()
	if s.res.Namespaced {
		set["metadata.namespace"] = obj.GetNamespace()
	}
	return set
}
