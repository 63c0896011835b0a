package podtopologyspread

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"skiff/scheduler/framework"
	test "skiff/scheduler/framework/frameworktest"
)

func TestHelps(t *testing.T) {
	pod := test.Pod("p", "", "app=web", spreading(zone, 1, corev1.DoNotSchedule))
	honoring := test.Pod("p", "", "app=web", spreading(zone, 1, corev1.DoNotSchedule, policies(corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyHonor)))
	tolerating := honoring.DeepCopy()
	tolerating.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
	web, db := test.Pod("1", "a1", "app=web"), test.Pod("1", "a1", "app=db")
	zoned, moved, bare := test.Node("a1", zone+"=a"), test.Node("a1", zone+"=b"), test.Node("a1", "")
	for name, tc := range map[string]struct {
		pod   *corev1.Pod
		event framework.Event
		want  bool
	}{
		"a pod that went":                      {pod, framework.Event{Action: framework.PodDeleted, Old: web}, true},
		"a pod elsewhere":                      {pod, framework.Event{Action: framework.PodAssigned, New: web}, true},
		"a pod of other labels":                {pod, framework.Event{Action: framework.PodDeleted, Old: db}, false},
		"a pod of another namespace":           {pod, framework.Event{Action: framework.PodDeleted, Old: test.Pod("1", "a1", "app=web", in("other"))}, false},
		"labels that match no more":            {pod, framework.Event{Action: framework.PodLabelsChanged, Old: web, New: db}, true},
		"labels that never matched":            {pod, framework.Event{Action: framework.PodLabelsChanged, Old: db, New: test.Pod("1", "a1", "app=x")}, false},
		"a pod that asks for less":             {pod, framework.Event{Action: framework.PodScaledDown, Old: web, New: web}, false},
		"its own labels":                       {pod, framework.Event{Action: framework.PodUpdated, Old: pod, New: db}, true},
		"its tolerations do not matter":        {pod, framework.Event{Action: framework.PodUpdated, Old: honoring, New: tolerating}, false},
		"its tolerations, where they count":    {honoring, framework.Event{Action: framework.PodUpdated, Old: honoring, New: tolerating}, true},
		"a new node":                           {pod, framework.Event{Action: framework.NodeAdded, New: zoned}, true},
		"a new node without the label":         {pod, framework.Event{Action: framework.NodeAdded, New: bare}, false},
		"a node that went":                     {pod, framework.Event{Action: framework.NodeDeleted, Old: zoned}, true},
		"a node that moved":                    {pod, framework.Event{Action: framework.NodeLabelsChanged, Old: zoned, New: moved}, true},
		"a node that got the label":            {pod, framework.Event{Action: framework.NodeLabelsChanged, Old: bare, New: zoned}, true},
		"a node whose other labels changed":    {pod, framework.Event{Action: framework.NodeLabelsChanged, Old: zoned, New: test.Node("a1", zone+"=a,x=y")}, false},
		"a node whose taints changed":          {pod, framework.Event{Action: framework.NodeTaintsChanged, Old: zoned, New: test.Node("a1", zone+"=a", tainted)}, true},
		"a node without the label, its taints": {pod, framework.Event{Action: framework.NodeTaintsChanged, Old: bare, New: test.Node("a1", "", tainted)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := empty().Helps(framework.NewPodInfo(tc.pod), tc.event); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
