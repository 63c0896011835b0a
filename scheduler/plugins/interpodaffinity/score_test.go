package interpodaffinity

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"

	test "skiff/scheduler/framework/frameworktest"
)

func preferring(weight int32, t corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		a := affinity(p).PodAffinity
		a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.WeightedPodAffinityTerm{Weight: weight, PodAffinityTerm: t})
	}
}

func avoiding(weight int32, t corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		a := affinity(p).PodAntiAffinity
		a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.WeightedPodAffinityTerm{Weight: weight, PodAffinityTerm: t})
	}
}

func TestScores(t *testing.T) {
	web, db := term(zone, "app=web"), term(zone, "app=db")
	for name, tc := range map[string]struct {
		pods []*corev1.Pod
		pod  *corev1.Pod
		want map[string]int64
	}{
		"nobody prefers anything": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db")}, pod: test.Pod("p", "", "app=web"),
			want: nil,
		},
		"what is preferred is nowhere": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=x")}, pod: test.Pod("p", "", "app=web", preferring(10, db)),
			want: nil,
		},
		"near another pod": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db")}, pod: test.Pod("p", "", "app=web", preferring(10, db)),
			want: map[string]int64{"a1": 100, "a2": 100, "b1": 0, "c1": 0},
		},
		"rather not near another pod": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db")}, pod: test.Pod("p", "", "app=web", avoiding(10, db)),
			want: map[string]int64{"a1": 0, "a2": 0, "b1": 100, "c1": 100},
		},
		"weights add up over terms and pods": { // a1: 10+5, a2: 10, b1: 2*10
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db"), test.Pod("2", "b1", "app=db"), test.Pod("3", "b1", "app=db")},
			pod:  test.Pod("p", "", "app=web", preferring(10, db), preferring(5, term(host, "app=db")), avoiding(5, term(host, "app=db"))),
			want: map[string]int64{"a1": 50, "a2": 50, "b1": 100, "c1": 0},
		},
		"another pod prefers this one": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", preferring(10, web))}, pod: test.Pod("p", "", "app=web"),
			want: map[string]int64{"a1": 100, "a2": 100, "b1": 0, "c1": 0},
		},
		"another pod avoids this one": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", avoiding(10, web))}, pod: test.Pod("p", "", "app=web"),
			want: map[string]int64{"a1": 0, "a2": 0, "b1": 100, "c1": 100},
		},
		"another pod requires such as this one": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", with(web)), test.Pod("2", "b1", "app=db", preferring(2, web))}, pod: test.Pod("p", "", "app=web"),
			want: map[string]int64{"a1": 50, "a2": 50, "b1": 100, "c1": 0},
		},
		"all alike": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db"), test.Pod("2", "b1", "app=db"), test.Pod("3", "c1", "app=db"), test.Pod("4", "a2", "app=db")},
			pod:  test.Pod("p", "", "app=web", preferring(10, term(host, "app=db"))),
			want: map[string]int64{"a1": 0, "a2": 0, "b1": 0, "c1": 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.Scores(t, plugin(t), tc.pod, test.Snapshot(zones(), tc.pods...))
			if !maps.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
