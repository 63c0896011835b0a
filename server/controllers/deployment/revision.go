package deployment

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"skiff/server/controller/pods"
)

// Annotations of deployments and their replica sets.
const (
	annRevision = "deployment.kubernetes.io/revision"
	annHistory  = "deployment.kubernetes.io/revision-history"
	annDesired  = "deployment.kubernetes.io/desired-replicas"
	annMax      = "deployment.kubernetes.io/max-replicas"

	// maxHistory bounds the revision-history annotation, in characters.
	maxHistory = 2000
)

// notCopied are the deployment's annotations that its replica sets don't get.
var notCopied = map[string]bool{
	corev1.LastAppliedConfigAnnotation: true, annRevision: true, annHistory: true,
	annDesired: true, annMax: true, appsv1.DeprecatedRollbackTo: true,
}

func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	a, b = withoutHash(a), withoutHash(b)
	return apiequality.Semantic.DeepEqual(a, b)
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	if _, ok := t.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; !ok {
		return t
	}
	c := *t
	c.Labels = maps.Clone(t.Labels)
	delete(c.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return &c
}

func revision(rs *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[annRevision], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// nextRevision is one more than that of any old set.
func (ro *rollout) nextRevision() int64 {
	var top int64
	for _, rs := range ro.old {
		top = max(top, revision(rs))
	}
	return top + 1
}

// syncRevision gives the latest set, if there is one, the highest revision and
// the deployment's annotations, and tells the deployment its revision.
func (ro *rollout) syncRevision(ctx context.Context) error {
	if ro.latest == nil {
		return nil
	}
	rs := ro.latest.DeepCopy()
	if ro.annotate(rs, ro.nextRevision()) || rs.Spec.MinReadySeconds != ro.d.Spec.MinReadySeconds {
		rs.Spec.MinReadySeconds = ro.d.Spec.MinReadySeconds
		updated, err := ro.client.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, rs, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		ro.replace(updated)
	}
	ro.setRevision(ro.latest.Annotations[annRevision])
	if ro.hasDeadline() && condition(&ro.d.Status, appsv1.DeploymentProgressing) == nil {
		ro.setCondition(&ro.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonFound, fmt.Sprintf("Found new replica set %q", rs.Name))
	}
	return nil
}

func (ro *rollout) setRevision(rev string) {
	if ro.d.Annotations[annRevision] == rev || rev == "" {
		return
	}
	if ro.d.Annotations == nil {
		ro.d.Annotations = map[string]string{}
	}
	ro.d.Annotations[annRevision] = rev
}

// annotate sets what a replica set carries of its deployment, and reports
// whether it changed anything.
func (ro *rollout) annotate(rs *appsv1.ReplicaSet, next int64) bool {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	changed := false
	for k, v := range ro.d.Annotations {
		if have, ok := rs.Annotations[k]; !notCopied[k] && (!ok || have != v) {
			rs.Annotations[k] = v
			changed = true
		}
	}
	before, had := rs.Annotations[annRevision]
	if old, err := strconv.ParseInt(before, 10, 64); (err != nil && before != "") || old >= next {
		return changed
	}
	rs.Annotations[annRevision] = strconv.FormatInt(next, 10)
	if had {
		rs.Annotations[annHistory] = addHistory(rs.Annotations[annHistory], before)
	}
	return true
}

// addHistory appends a revision to the comma separated list, dropping the oldest
// ones where it would become too long.
func addHistory(list, rev string) string {
	if list == "" {
		return rev
	}
	for len(list)+1+len(rev) > maxHistory {
		_, rest, ok := strings.Cut(list, ",")
		if !ok {
			return rev
		}
		list = rest
	}
	return list + "," + rev
}

// create makes the latest set if there is none.
func (ro *rollout) create(ctx context.Context) error {
	if ro.latest != nil {
		return nil
	}
	rs := ro.newSet()
	next := ro.nextRevision()
	replicas := ro.latestReplicas(rs)
	rs.Spec.Replicas = &replicas
	ro.annotate(rs, next)
	ro.annotateSize(rs)
	made, err := ro.client.AppsV1().ReplicaSets(rs.Namespace).Create(ctx, rs, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err):
		if made, err = ro.existing(ctx, rs.Name, err); err != nil {
			return err
		}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	case err != nil:
		msg := fmt.Sprintf("Failed to create new replica set %q: %v", rs.Name, err)
		if ro.hasDeadline() {
			ro.setCondition(&ro.d.Status, appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonCreateError, msg)
		}
		ro.events.Eventf(ro.d, corev1.EventTypeWarning, reasonCreateError, "%s", msg)
		return err
	default:
		if replicas > 0 {
			ro.events.Eventf(ro.d, corev1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", made.Name, replicas)
		}
		if ro.hasDeadline() {
			ro.setCondition(&ro.d.Status, appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonCreated, fmt.Sprintf("Created new replica set %q", made.Name))
		}
	}
	ro.setRevision(strconv.FormatInt(next, 10))
	ro.latest = made
	ro.all = append(ro.all, made)
	return nil
}

// existing takes the set of that name as the latest if it is the deployment's
// own with its template (the cache was behind); otherwise two templates have the
// same hash, which the next try avoids by counting it into the hash.
func (ro *rollout) existing(ctx context.Context, name string, exists error) (*appsv1.ReplicaSet, error) {
	rs, err := ro.client.AppsV1().ReplicaSets(ro.d.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if metav1.IsControlledBy(rs, ro.d) && sameTemplate(&rs.Spec.Template, &ro.d.Spec.Template) {
		return rs, nil
	}
	var n int32
	if ro.d.Status.CollisionCount != nil {
		n = *ro.d.Status.CollisionCount
	}
	n++
	ro.d.Status.CollisionCount = &n
	return nil, exists
}

func (ro *rollout) newSet() *appsv1.ReplicaSet {
	template := *ro.d.Spec.Template.DeepCopy()
	hash := pods.Hash(&template, ro.d.Status.CollisionCount)
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	selector := ro.d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	name := ro.d.Name
	if limit := validation.DNS1123SubdomainMaxLength - 1 - len(hash); len(name) > limit {
		name = name[:limit]
	}
	return &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Name: name + "-" + hash, Namespace: ro.d.Namespace, Labels: maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(ro.d, gvk)},
		},
		Spec: appsv1.ReplicaSetSpec{
			Replicas: new(int32), MinReadySeconds: ro.d.Spec.MinReadySeconds, Selector: selector, Template: template,
		},
	}
}
