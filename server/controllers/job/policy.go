package job

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// match applies the pod failure policy to a failed pod: the message for which the
// whole job fails ("" if it does not), whether the failure counts, and the action
// of the rule that matched.
func match(policy *batchv1.PodFailurePolicy, pod *corev1.Pod) (msg string, counts bool, action batchv1.PodFailurePolicyAction) {
	if policy == nil {
		return "", true, ""
	}
	for i, rule := range policy.Rules {
		var what string
		switch {
		case rule.OnExitCodes != nil:
			if s := matchExit(pod, rule.OnExitCodes); s != nil {
				what = fmt.Sprintf("Container %s for pod %s/%s failed with exit code %v", s.Name, pod.Namespace, pod.Name, s.State.Terminated.ExitCode)
			}
		case rule.OnPodConditions != nil:
			if c := matchConditions(pod, rule.OnPodConditions); c != nil {
				what = fmt.Sprintf("Pod %s/%s has condition %v", pod.Namespace, pod.Name, c.Type)
			}
		}
		if what == "" {
			continue
		}
		switch rule.Action {
		case batchv1.PodFailurePolicyActionIgnore:
			return "", false, rule.Action
		case batchv1.PodFailurePolicyActionFailJob:
			return fmt.Sprintf("%s matching %v rule at index %d", what, rule.Action, i), true, rule.Action
		case batchv1.PodFailurePolicyActionFailIndex, batchv1.PodFailurePolicyActionCount:
			return "", true, rule.Action
		}
	}
	return "", true, ""
}

func matchExit(pod *corev1.Pod, want *batchv1.PodFailurePolicyOnExitCodesRequirement) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range list {
			t := list[i].State.Terminated
			if t == nil || t.ExitCode == 0 || want.ContainerName != nil && *want.ContainerName != list[i].Name {
				continue
			}
			in := slices.Contains(want.Values, t.ExitCode)
			if want.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn && in || want.Operator == batchv1.PodFailurePolicyOnExitCodesOpNotIn && !in {
				return &list[i]
			}
		}
	}
	return nil
}

func matchConditions(pod *corev1.Pod, want []batchv1.PodFailurePolicyOnPodConditionsPattern) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		c := &pod.Status.Conditions[i]
		for _, w := range want {
			if c.Type == w.Type && c.Status == w.Status {
				return c
			}
		}
	}
	return nil
}

// policyFailure returns the message for which the policy fails the job, or "".
func (p *pass) policyFailure() string {
	if p.job.Spec.PodFailurePolicy == nil {
		return ""
	}
	for _, pod := range p.pods {
		if p.hasFailed(pod) {
			if msg, _, _ := match(p.job.Spec.PodFailurePolicy, pod); msg != "" {
				return msg
			}
		}
	}
	return ""
}

// successPolicy tells whether a rule of the success policy is met (KEP-3998).
func (p *pass) successPolicy() (string, bool) {
	if p.job.Spec.SuccessPolicy == nil || len(p.goodIndexes) == 0 {
		return "", false
	}
	for i, rule := range p.job.Spec.SuccessPolicy.Rules {
		met := false
		if rule.SucceededIndexes != nil {
			want := parseIntervals(*rule.SucceededIndexes, int(*p.job.Spec.Completions))
			have := 0
			for _, v := range want {
				for ix := v[0]; ix <= v[1]; ix++ {
					if p.goodIndexes.has(ix) {
						have++
					}
				}
			}
			met = want.total() > 0 && (have == want.total() || rule.SucceededCount != nil && have >= int(*rule.SucceededCount))
		} else if rule.SucceededCount != nil {
			met = p.goodIndexes.total() >= int(*rule.SucceededCount)
		}
		if met {
			return fmt.Sprintf("Matched rules at index %d", i), true
		}
	}
	return "", false
}
