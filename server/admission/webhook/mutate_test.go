package webhook

import (
	"context"
	"strings"
	"testing"

	admissionreview "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/admission"
	at "skiff/server/admission/admissiontest"
)

// TestPatch: what becomes of an object.
func TestPatch(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(*admissionreview.AdmissionRequest) *admissionreview.AdmissionResponse
		op     admission.Operation
		want   string // the data, as "key=value ..."
		err    string
	}{
		"none":        {answer: allow, want: "tea=2"},
		"empty":       {answer: patch("[]"), want: "tea=2"},
		"adds":        {answer: patch(`[{"op":"add","path":"/data/milk","value":"1"}]`), want: "milk=1 tea=2"},
		"removes":     {answer: patch(`[{"op":"remove","path":"/data"}]`), want: ""},
		"fails":       {answer: patch(`[{"op":"remove","path":"/data/gone"}]`), want: "tea=2", err: "Unable to remove nonexistent key: gone: missing value"},
		"nonsense":    {answer: patch(`{}`), want: "tea=2", err: "received undecodable patch in webhook response: json: cannot unmarshal object into Go value of type jsonpatch.Patch"},
		"wrong type":  {answer: patch(`[{"op":"add","path":"/data","value":7}]`), want: "tea=2", err: "cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"},
		"kind":        {answer: patch(`[{"op":"replace","path":"/kind","value":"Secret"}]`), want: "tea=2", err: `admission webhook "hook.example.com" attempted to make a /v1, Kind=Secret of a /v1, Kind=ConfigMap`},
		"version":     {answer: patch(`[{"op":"replace","path":"/apiVersion","value":"v2"}]`), want: "tea=2", err: "attempted to make a /v2, Kind=ConfigMap of a /v1, Kind=ConfigMap"},
		"no kind":     {answer: patch(`[{"op":"remove","path":"/kind"},{"op":"add","path":"/data/milk","value":"1"}]`), want: "milk=1 tea=2"},
		"on a delete": {answer: patch(`[{"op":"remove","path":"/data"}]`), op: admission.Delete, err: `admission webhook "hook.example.com" attempted to modify the object, which is not supported for this operation`},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			o.answers["/hook"] = c.answer
			m, _ := o.plugins(mutatingConfiguration("a", o.mutatingHook("/hook", false)))
			op := c.op
			if op == "" {
				op = admission.Create
			}
			a := configMapWrite(op, map[string]string{"tea": "2"})
			at.Check(t, name, m.Admit(t.Context(), a), c.err)
			if a.Object == nil {
				return
			}
			obj := a.Object.(*corev1.ConfigMap)
			if got := show(obj.Data); got != c.want {
				t.Errorf("data %s, want %s", got, c.want)
			}
			if obj.Kind != "" {
				t.Errorf("the object in memory tells its kind %s", obj.Kind)
			}
			// What a hook took away or did not know gets its defaults again.
			if changed := c.want != "tea=2"; changed != (obj.Labels["defaulted"] == "yes") {
				t.Errorf("labels %s", show(obj.Labels))
			}
		})
	}
}

func show(data map[string]string) string {
	var list []string
	for _, k := range []string{"app", "defaulted", "milk", "sugar", "tea"} {
		if v, ok := data[k]; ok {
			list = append(list, k+"="+v)
		}
	}
	return strings.Join(list, " ")
}

// counting is a mutating plugin of the server's own, which stands before the
// hooks. It sweetens tea that has milk in it.
type counting struct{ rounds int }

func (*counting) Name() string { return "Counting" }

// Admit implements admission.Mutator.
func (c *counting) Admit(_ context.Context, a *admission.Attributes) error {
	c.rounds++
	if data := a.Object.(*corev1.ConfigMap).Data; data["milk"] != "" {
		data["sugar"] = "1"
	}
	return nil
}

// TestReinvocation: after a change, the plugins and the hooks that ask for it see the
// object once more, and no hook twice in vain (KEP-1027).
func TestReinvocation(t *testing.T) {
	const milk = `[{"op":"add","path":"/data/milk","value":"1"}]`
	for name, c := range map[string]struct {
		hooks  []string // path, with a + if it asks to be called again
		answer map[string]string
		rounds int
		asked  string
		want   string
	}{
		"no change":                    {[]string{"/one+", "/two+"}, nil, 1, "/one /two", "tea=2"},
		"a patch that changes nothing": {[]string{"/one+"}, map[string]string{"/one": `[{"op":"replace","path":"/data/tea","value":"2"}]`}, 1, "/one", "tea=2"},
		"the plugin adds sugar":        {[]string{"/one+", "/two"}, map[string]string{"/two": milk}, 2, "/one /two /one", "milk=1 sugar=1 tea=2"},
		"nobody asks":                  {[]string{"/one", "/two"}, map[string]string{"/two": milk}, 2, "/one /two", "milk=1 sugar=1 tea=2"},
		"the last one, by the plugin":  {[]string{"/one", "/two+"}, map[string]string{"/two": milk}, 2, "/one /two /two", "milk=1 sugar=1 tea=2"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutside(t)
			var hooks []admissionv1.MutatingWebhook
			for _, h := range c.hooks {
				path, again := strings.CutSuffix(h, "+")
				hooks = append(hooks, o.mutatingHook(path, again))
				if o.answers[path] = allow; c.answer[path] != "" {
					o.answers[path] = patch(c.answer[path])
				}
			}
			m, _ := o.plugins(mutatingConfiguration("a", hooks...))
			own := &counting{}
			a := configMapWrite(admission.Create, map[string]string{"tea": "2"})
			if err := (admission.Chain{own, m}).Admit(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if got := show(a.Object.(*corev1.ConfigMap).Data); got != c.want || own.rounds != c.rounds {
				t.Errorf("%s after %d rounds, want %s after %d", got, own.rounds, c.want, c.rounds)
			}
			if got := o.paths(); got != c.asked {
				t.Errorf("asked %s, want %s", got, c.asked)
			}
		})
	}
}

// TestInOrder: each hook sees what those before it made of the object, in the version
// that its rule names.
func TestInOrder(t *testing.T) {
	o := newOutside(t)
	o.answers["/milk"] = patch(`[{"op":"add","path":"/data/milk","value":"1"}]`)
	o.answers["/last"] = deny(&metav1.Status{Message: "no milk"})
	last := o.mutatingHook("/last", false)
	last.Rules = everything()
	last.Rules[0].APIGroups = []string{"example.com"}
	m, _ := o.plugins(mutatingConfiguration("b", last), mutatingConfiguration("a", o.mutatingHook("/milk", false)))
	at.Check(t, "second", m.Admit(t.Context(), configMapWrite(admission.Create, map[string]string{"tea": "2"})), "denied the request: no milk")
	r := o.last["/last"].Request
	if r.Kind.Version != "v2" || r.Resource.Resource != "maps" || r.RequestKind.Kind != "ConfigMap" || r.RequestResource.Resource != "configmaps" {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{`"kind":"Map","apiVersion":"example.com/v2"`, `"milk":"1"`} {
		if !strings.Contains(string(r.Object.Raw), want) {
			t.Errorf("no %s in %s", want, r.Object.Raw)
		}
	}
}
