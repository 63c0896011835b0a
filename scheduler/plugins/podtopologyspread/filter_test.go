package podtopologyspread

import (
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	test "skiff/scheduler/framework/frameworktest"
)

const (
	zone = corev1.LabelTopologyZone
	host = corev1.LabelHostname
)

// zones are two zones with two nodes each.
func zones() []*corev1.Node {
	return []*corev1.Node{
		test.Node("a1", zone+"=a"), test.Node("a2", zone+"=a"), test.Node("b1", zone+"=b"), test.Node("b2", zone+"=b"),
	}
}

func empty() Plugin { return New(informers.NewSharedInformerFactory(fake.NewClientset(), 0)) }

// spreading adds a constraint about pods of the label app=web.
func spreading(key string, maxSkew int32, action corev1.UnsatisfiableConstraintAction, change ...func(*corev1.TopologySpreadConstraint)) func(*corev1.Pod) {
	c := corev1.TopologySpreadConstraint{TopologyKey: key, MaxSkew: maxSkew, WhenUnsatisfiable: action, LabelSelector: test.Selector("app=web")}
	for _, f := range change {
		f(&c)
	}
	return func(p *corev1.Pod) { p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c) }
}

func minDomains(n int32) func(*corev1.TopologySpreadConstraint) {
	return func(c *corev1.TopologySpreadConstraint) { c.MinDomains = &n }
}

func policies(affinity, taints corev1.NodeInclusionPolicy) func(*corev1.TopologySpreadConstraint) {
	return func(c *corev1.TopologySpreadConstraint) {
		c.NodeAffinityPolicy, c.NodeTaintsPolicy = &affinity, &taints
	}
}

func matchKeys(keys ...string) func(*corev1.TopologySpreadConstraint) {
	return func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = keys }
}

func selecting(labels string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.NodeSelector = test.Labels(labels) }
}

func in(namespace string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Namespace = namespace } }

func ending(p *corev1.Pod) {
	now := metav1.Now()
	p.DeletionTimestamp = &now
}

func tainted(n *corev1.Node) {
	n.Spec.Taints = []corev1.Taint{{Key: "t", Effect: corev1.TaintEffectNoSchedule}}
}

func TestFilter(t *testing.T) {
	const hard, honor, ignore = corev1.DoNotSchedule, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore
	web := func(name, node string, change ...func(*corev1.Pod)) *corev1.Pod {
		return test.Pod(name, node, "app=web", change...)
	}
	no := reasonSkew
	for name, tc := range map[string]struct {
		nodes []*corev1.Node
		pods  []*corev1.Pod
		pod   *corev1.Pod
		want  map[string]string
	}{
		"no constraint": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", ""),
			want: nil,
		},
		"a soft constraint refuses nothing": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", spreading(zone, 1, corev1.ScheduleAnyway)),
			want: nil,
		},
		"the emptier zone": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", spreading(zone, 1, hard)),
			want: map[string]string{"a1": no, "a2": no, "b1": "", "b2": ""},
		},
		"a greater skew is allowed": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", spreading(zone, 2, hard)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
		"two constraints": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1"), web("2", "b1")}, pod: web("p", "", spreading(zone, 1, hard), spreading(host, 1, hard)),
			want: map[string]string{"a1": no, "a2": "", "b1": no, "b2": ""},
		},
		"a pod that the constraint is not about does not count itself": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: test.Pod("p", "", "app=db", spreading(zone, 1, hard)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
		"pods of other labels and namespaces, and such that end, do not count": {
			nodes: zones(), pods: []*corev1.Pod{test.Pod("1", "a1", "app=db"), web("2", "a1", in("other")), web("3", "a1", ending)},
			pod:  web("p", "", spreading(zone, 1, hard)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
		"a node without the label": {
			nodes: append(zones(), test.Node("c1", "")), pod: web("p", "", spreading(zone, 1, hard)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": "", "c1": reasonLabel},
		},
		"too few domains": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1"), web("2", "b1")}, pod: web("p", "", spreading(zone, 1, hard, minDomains(3))),
			want: map[string]string{"a1": no, "a2": no, "b1": no, "b2": no},
		},
		"enough domains": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1"), web("2", "b1")}, pod: web("p", "", spreading(zone, 1, hard, minDomains(2))),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
		"nodes that the node selector leaves out are no domains": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", selecting(zone+"=a"), spreading(zone, 1, hard)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
		"unless they are to count": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")}, pod: web("p", "", selecting(zone+"=a"), spreading(zone, 1, hard, policies(ignore, ignore))),
			want: map[string]string{"a1": no, "a2": no, "b1": "", "b2": ""},
		},
		"tainted nodes count": {
			nodes: append(zones(), test.Node("c1", zone+"=c", tainted)), pods: []*corev1.Pod{web("1", "a1"), web("2", "b1")},
			pod:  web("p", "", spreading(zone, 1, hard)),
			want: map[string]string{"a1": no, "a2": no, "b1": no, "b2": no, "c1": ""},
		},
		"unless taints are honored": {
			nodes: append(zones(), test.Node("c1", zone+"=c", tainted)), pods: []*corev1.Pod{web("1", "a1"), web("2", "b1")},
			pod:  web("p", "", spreading(zone, 1, hard, policies(honor, honor))),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": "", "c1": ""},
		},
		"only pods of the same revision": {
			nodes: zones(), pods: []*corev1.Pod{test.Pod("1", "a1", "app=web,rev=1"), test.Pod("2", "b1", "app=web,rev=2")},
			pod:  test.Pod("p", "", "app=web,rev=2", spreading(zone, 1, hard, matchKeys("rev", "absent"))),
			want: map[string]string{"a1": "", "a2": "", "b1": no, "b2": no},
		},
		"without a selector there is nothing to spread": {
			nodes: zones(), pods: []*corev1.Pod{web("1", "a1")},
			pod:  web("p", "", spreading(zone, 1, hard, matchKeys("app"), func(c *corev1.TopologySpreadConstraint) { c.LabelSelector = nil })),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "b2": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.Filter(t, empty(), tc.pod, test.Snapshot(tc.nodes, tc.pods...))
			if !maps.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}
