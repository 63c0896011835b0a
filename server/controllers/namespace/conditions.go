package namespace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// findings is what one pass over a namespace's content found.
type findings struct {
	discovery, parsing error
	content            []error
	remaining          map[schema.GroupVersionResource]int
	finalizers         map[string]int
	// wait is how long what remains is expected to stay; 0 if nothing does.
	wait time.Duration
}

func (f *findings) errs() []error { return append([]error{f.discovery, f.parsing}, f.content...) }

// report writes the conditions if they changed.
func (r *reconciler) report(ctx context.Context, ns *corev1.Namespace, f *findings) error {
	changed := false
	for _, c := range f.conditions() {
		changed = set(&ns.Status, c, metav1.NewTime(r.clock.Now())) || changed
	}
	if !changed {
		return nil
	}
	_, err := r.client.CoreV1().Namespaces().UpdateStatus(ctx, ns, metav1.UpdateOptions{})
	return err
}

func (f *findings) conditions() []corev1.NamespaceCondition {
	out := []corev1.NamespaceCondition{
		ok(corev1.NamespaceDeletionDiscoveryFailure, "ResourcesDiscovered", "All resources successfully discovered"),
		ok(corev1.NamespaceDeletionGVParsingFailure, "ParsedGroupVersions", "All legacy kube types successfully parsed"),
		ok(corev1.NamespaceDeletionContentFailure, "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
		ok(corev1.NamespaceContentRemaining, "ContentRemoved", "All content successfully removed"),
		ok(corev1.NamespaceFinalizersRemaining, "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
	}
	fail := func(i int, reason, message string) {
		out[i].Status, out[i].Reason, out[i].Message = corev1.ConditionTrue, reason, message
	}
	if f.discovery != nil {
		msg := f.discovery.Error()
		var groups *discovery.ErrGroupDiscoveryFailed
		if errors.As(f.discovery, &groups) {
			msg = fmt.Sprintf("Discovery failed for some groups, %d failing: %v", len(groups.Groups), f.discovery)
		}
		fail(0, "DiscoveryFailed", msg)
	}
	if f.parsing != nil {
		fail(1, "GroupVersionParsingFailed", f.parsing.Error())
	}
	if len(f.content) > 0 {
		var msgs []string
		for _, e := range f.content {
			msgs = append(msgs, e.Error())
		}
		slices.Sort(msgs)
		fail(2, "ContentDeletionFailed", fmt.Sprintf("Failed to delete all resource types, %d remaining: %v", len(msgs), strings.Join(msgs, ", ")))
	}
	if len(f.remaining) > 0 {
		var items []string
		for gvr, n := range f.remaining {
			items = append(items, fmt.Sprintf("%s.%s has %d resource instances", gvr.Resource, gvr.Group, n))
		}
		slices.Sort(items)
		fail(3, "SomeResourcesRemain", "Some resources are remaining: "+strings.Join(items, ", "))
	}
	if len(f.finalizers) > 0 {
		var items []string
		for name, n := range f.finalizers {
			items = append(items, fmt.Sprintf("%s in %d resource instances", name, n))
		}
		slices.Sort(items)
		fail(4, "SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: "+strings.Join(items, ", "))
	}
	return out
}

func ok(t corev1.NamespaceConditionType, reason, message string) corev1.NamespaceCondition {
	return corev1.NamespaceCondition{Type: t, Status: corev1.ConditionFalse, Reason: reason, Message: message}
}

func set(s *corev1.NamespaceStatus, c corev1.NamespaceCondition, now metav1.Time) bool {
	c.LastTransitionTime = now
	for i, old := range s.Conditions {
		if old.Type != c.Type {
			continue
		}
		if old.Status == c.Status && old.Reason == c.Reason && old.Message == c.Message {
			return false
		}
		if old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
		s.Conditions[i] = c
		return true
	}
	s.Conditions = append(s.Conditions, c)
	return true
}
