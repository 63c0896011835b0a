package interpodaffinity

import (
	"testing"

	"skiff/scheduler/framework"
	test "skiff/scheduler/framework/frameworktest"
)

func TestHelps(t *testing.T) {
	web, db := term(zone, "app=web"), term(zone, "app=db")
	wanting, apartFrom := test.Pod("p", "", "app=web", with(db)), test.Pod("p", "", "app=web", apart(db))
	plain := test.Pod("p", "", "app=web")
	aDB, another := test.Pod("1", "a1", "app=db"), test.Pod("1", "a1", "app=x")
	zoned, moved, bare := test.Node("a1", zone+"=a"), test.Node("a1", zone+"=b"), test.Node("a1", "")
	for name, tc := range map[string]struct {
		pod   *framework.PodInfo
		event framework.Event
		want  bool
	}{
		"the unwanted pod went":             {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodDeleted, Old: aDB}, true},
		"some pod went":                     {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodDeleted, Old: another}, false},
		"the pod went that did not want it": {framework.NewPodInfo(plain), framework.Event{Action: framework.PodDeleted, Old: test.Pod("1", "a1", "app=db", apart(web))}, true},
		"the unwanted pod came":             {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodAssigned, New: aDB}, false},
		"the wanted pod came":               {framework.NewPodInfo(wanting), framework.Event{Action: framework.PodAssigned, New: aDB}, true},
		"some pod came":                     {framework.NewPodInfo(wanting), framework.Event{Action: framework.PodAssigned, New: another}, false},
		"a pod became a wanted one":         {framework.NewPodInfo(wanting), framework.Event{Action: framework.PodLabelsChanged, Old: another, New: aDB}, true},
		"a pod is an unwanted one no more":  {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodLabelsChanged, Old: aDB, New: another}, true},
		"a pod became an unwanted one":      {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodLabelsChanged, Old: another, New: aDB}, false},
		"a pod of another namespace, by label": {
			framework.NewPodInfo(test.Pod("p", "", "app=web", apart(term(zone, "app=db", ofNamespaces("team=b"))))),
			framework.Event{Action: framework.PodDeleted, Old: test.Pod("1", "a1", "app=db", in("other"))}, true,
		},
		"its own labels":                {framework.NewPodInfo(plain), framework.Event{Action: framework.PodUpdated, Old: plain, New: another}, true},
		"a pod that asks for less":      {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.PodScaledDown, Old: aDB, New: aDB}, false},
		"a new node for affinity":       {framework.NewPodInfo(wanting), framework.Event{Action: framework.NodeAdded, New: zoned}, true},
		"a new node without the label":  {framework.NewPodInfo(wanting), framework.Event{Action: framework.NodeAdded, New: bare}, false},
		"that suits anti-affinity":      {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.NodeAdded, New: bare}, true},
		"a node that moved":             {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.NodeLabelsChanged, Old: zoned, New: moved}, true},
		"a node that got the label":     {framework.NewPodInfo(wanting), framework.Event{Action: framework.NodeLabelsChanged, Old: bare, New: zoned}, true},
		"a node that lost the label":    {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.NodeLabelsChanged, Old: zoned, New: bare}, true},
		"which is no help for affinity": {framework.NewPodInfo(wanting), framework.Event{Action: framework.NodeLabelsChanged, Old: zoned, New: bare}, false},
		"a node's taints":               {framework.NewPodInfo(apartFrom), framework.Event{Action: framework.NodeTaintsChanged, Old: zoned, New: moved}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plugin(t).Helps(tc.pod, tc.event); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
