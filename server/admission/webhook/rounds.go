package webhook

import (
	"maps"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/admission"
)

// rounds is what is noted of a write's first round, for its second. Keys are hooks'
// ids.
type rounds struct {
	// called are hooks that ask to see what was changed after they were called.
	called map[string]bool
	// again are those of them for whom something was changed.
	again map[string]bool
	// last is the object as it left the hooks in the first round.
	last runtime.Object
}

func roundsOf(a *admission.Attributes) *rounds {
	if r, ok := a.Reinvocation.Notes.(*rounds); ok {
		return r
	}
	r := &rounds{called: map[string]bool{}, again: map[string]bool{}}
	a.Reinvocation.Notes = r
	return r
}

// begin looks at what the plugins before the hooks did in the second round.
func (r *rounds) begin(a *admission.Attributes) {
	if a.Reinvocation.Again && !apiequality.Semantic.DeepEqual(r.last, a.Object) {
		r.require()
	}
}

func (r *rounds) end(a *admission.Attributes) {
	if a.Object != nil && a.Reinvocation.Wanted && !a.Reinvocation.Again {
		r.last = a.Object.DeepCopyObject()
	}
}

// changed notes that a hook changed the object: all that were called before it see
// it again, and so do the plugins.
func (r *rounds) changed(a *admission.Attributes) {
	r.require()
	a.Reinvocation.Wanted = true
}

func (r *rounds) require() {
	maps.Copy(r.again, r.called)
	clear(r.called)
}
