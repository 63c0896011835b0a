package interpodaffinity

import (
	"context"
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

// plugin knows the namespaces default and other, the labels of which are
// team=a and team=b.
func plugin(t *testing.T) Plugin {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	factory := informers.NewSharedInformerFactory(fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: test.Labels("team=a")}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other", Labels: test.Labels("team=b")}},
	), 0)
	p := New(factory)
	factory.StartWithContext(ctx)
	factory.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() { cancel(); factory.Shutdown() })
	if !p.HasSynced() {
		t.Fatal("the plugin's informer has not synced")
	}
	return p
}

// zones are two nodes in zone a, one in b, and one that is in none.
func zones() []*corev1.Node {
	return []*corev1.Node{test.Node("a1", zone+"=a"), test.Node("a2", zone+"=a"), test.Node("b1", zone+"=b"), test.Node("c1", "")}
}

func term(key, labels string, change ...func(*corev1.PodAffinityTerm)) corev1.PodAffinityTerm {
	t := corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: test.Selector(labels)}
	for _, f := range change {
		f(&t)
	}
	return t
}

func inNamespaces(names ...string) func(*corev1.PodAffinityTerm) {
	return func(t *corev1.PodAffinityTerm) { t.Namespaces = names }
}

func ofNamespaces(labels string) func(*corev1.PodAffinityTerm) {
	return func(t *corev1.PodAffinityTerm) { t.NamespaceSelector = test.Selector(labels) }
}

func affinity(p *corev1.Pod) *corev1.Affinity {
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{}, PodAntiAffinity: &corev1.PodAntiAffinity{}}
	}
	return p.Spec.Affinity
}

func with(terms ...corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) { affinity(p).PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution = terms }
}

func apart(terms ...corev1.PodAffinityTerm) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		affinity(p).PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution = terms
	}
}

func in(namespace string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Namespace = namespace } }

func TestFilter(t *testing.T) {
	const want, anti, existing = reasonAffinity, reasonAntiAffinity, reasonExisting
	web, db := term(zone, "app=web"), term(zone, "app=db")
	for name, tc := range map[string]struct {
		pods []*corev1.Pod
		pod  *corev1.Pod
		want map[string]string
	}{
		"nobody wants anything": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=web")}, pod: test.Pod("p", "", "app=web"),
			want: nil,
		},
		"others' terms are about others": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=web", apart(db))}, pod: test.Pod("p", "", "app=web"),
			want: nil,
		},
		"with another pod": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db")}, pod: test.Pod("p", "", "app=web", with(db)),
			want: map[string]string{"a1": "", "a2": "", "b1": want, "c1": want},
		},
		"with another pod that is nowhere": {
			pod:  test.Pod("p", "", "app=web", with(db)),
			want: map[string]string{"a1": want, "a2": want, "b1": want, "c1": want},
		},
		"the first of those that want themselves": {
			pod:  test.Pod("p", "", "app=web", with(web)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "c1": want},
		},
		"the second of those that want themselves": {
			pods: []*corev1.Pod{test.Pod("1", "b1", "app=web")}, pod: test.Pod("p", "", "app=web", with(web)),
			want: map[string]string{"a1": want, "a2": want, "b1": "", "c1": want},
		},
		"one pod must match all terms": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db"), test.Pod("2", "a1", "tier=back"), test.Pod("3", "b1", "app=db,tier=back")},
			pod:  test.Pod("p", "", "app=web", with(db, term(host, "tier=back"))),
			want: map[string]string{"a1": want, "a2": want, "b1": "", "c1": want},
		},
		"apart from another pod": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db")}, pod: test.Pod("p", "", "app=web", apart(db)),
			want: map[string]string{"a1": anti, "a2": anti, "b1": "", "c1": ""},
		},
		"apart from either of two": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db"), test.Pod("2", "b1", "app=web")}, pod: test.Pod("p", "", "app=web", apart(term(host, "app=db"), web)),
			want: map[string]string{"a1": anti, "a2": "", "b1": anti, "c1": ""},
		},
		"a pod that wants to be apart from this one": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", apart(web))}, pod: test.Pod("p", "", "app=web"),
			want: map[string]string{"a1": existing, "a2": existing, "b1": "", "c1": ""},
		},
		"in the pod's own namespace only": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other"))}, pod: test.Pod("p", "", "app=web", apart(db)),
			want: map[string]string{"a1": "", "a2": "", "b1": "", "c1": ""},
		},
		"in a namespace by name": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other")), test.Pod("2", "b1", "app=db")},
			pod:  test.Pod("p", "", "app=web", apart(term(zone, "app=db", inNamespaces("other")))),
			want: map[string]string{"a1": anti, "a2": anti, "b1": "", "c1": ""},
		},
		"in namespaces by label": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other")), test.Pod("2", "b1", "app=db")},
			pod:  test.Pod("p", "", "app=web", apart(term(zone, "app=db", ofNamespaces("team=b")))),
			want: map[string]string{"a1": anti, "a2": anti, "b1": "", "c1": ""},
		},
		"in all namespaces": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other")), test.Pod("2", "b1", "app=db")},
			pod:  test.Pod("p", "", "app=web", apart(term(zone, "app=db", ofNamespaces("")))),
			want: map[string]string{"a1": anti, "a2": anti, "b1": anti, "c1": ""},
		},
		"a pod of another namespace that is apart from this one's by label": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other"), apart(term(zone, "app=web", ofNamespaces("team=a"))))},
			pod:  test.Pod("p", "", "app=web"),
			want: map[string]string{"a1": existing, "a2": existing, "b1": "", "c1": ""},
		},
		"a pod of another namespace that is apart from its own": {
			pods: []*corev1.Pod{test.Pod("1", "a1", "app=db", in("other"), apart(web))}, pod: test.Pod("p", "", "app=web"),
			want: nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := test.Filter(t, plugin(t), tc.pod, test.Snapshot(zones(), tc.pods...))
			if !maps.Equal(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("got  %v\nwant %v", got, tc.want)
			}
		})
	}
}
