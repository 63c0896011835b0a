package apps

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"skiff/server/registry"
)

const deployment = `
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
`

// object returns an object of r from YAML, with r's defaults.
func object(t *testing.T, r *registry.Resource, manifest string) registry.Object {
	t.Helper()
	o := r.Storage().New().(registry.Object)
	if err := yaml.UnmarshalStrict([]byte(manifest), o); err != nil {
		t.Fatal(err)
	}
	r.Rules.Default(o)
	return o
}

// edit returns the manifest with each pair of strings replaced.
func edit(t *testing.T, manifest string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(manifest, pairs[i]) {
			t.Fatalf("no %q in the manifest", pairs[i])
		}
		manifest = strings.Replace(manifest, pairs[i], pairs[i+1], 1)
	}
	return manifest
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		resource *registry.Resource
		edit     []string
		want     string
	}{
		"deployment":             {Deployments(), nil, ""},
		"no selector":            {Deployments(), []string{"  selector: {matchLabels: {app: web}}\n", ""}, "spec.selector: Required value"},
		"empty selector":         {Deployments(), []string{"{matchLabels: {app: web}}", "{}"}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
		"selector without match": {Deployments(), []string{"labels: {app: web}", "labels: {app: other}"}, "spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"},
		"negative replicas":      {Deployments(), []string{"  selector", "  replicas: -1\n  selector"}, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"},
		"unknown strategy":       {Deployments(), []string{"  selector", "  strategy: {type: Other}\n  selector"}, `spec.strategy: Unsupported value: {"Type":"Other","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"`},
		"no way to roll":         {Deployments(), []string{"  selector", "  strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}\n  selector"}, "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"},
		"more than all":          {Deployments(), []string{"  selector", "  strategy: {rollingUpdate: {maxUnavailable: 101%}}\n  selector"}, `spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`},
		"recreate with rolling":  {Deployments(), []string{"  selector", "  strategy: {type: Recreate, rollingUpdate: {}}\n  selector"}, "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"},
		"deadline":               {Deployments(), []string{"  selector", "  progressDeadlineSeconds: 5\n  minReadySeconds: 5\n  selector"}, "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"},
		"ends":                   {Deployments(), []string{"{containers", "{restartPolicy: Never, containers"}, `spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`},
		"replica set":            {ReplicaSets(), nil, ""},
		"replica set selector":   {ReplicaSets(), []string{"{matchLabels: {app: web}}", "{}"}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"},
		"stateful set":           {StatefulSets(), nil, ""},
		"stateful set strategy":  {StatefulSets(), []string{"  selector", "  updateStrategy: {type: OnDelete, rollingUpdate: {partition: 1}}\n  selector"}, "only allowed for updateStrategy 'RollingUpdate'"},
		"service name":           {StatefulSets(), []string{"  selector", "  serviceName: a.b\n  selector"}, `spec.serviceName: Invalid value: "a.b": must not contain dots`},
		"ordinals":               {StatefulSets(), []string{"  selector", "  ordinals: {start: -1}\n  selector"}, "spec.ordinals.start: Invalid value: -1"},
		"daemon set":             {DaemonSets(), nil, ""},
		"daemon set rolling":     {DaemonSets(), []string{"  selector", "  updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}\n  selector"}, "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"},
		"daemon set stuck":       {DaemonSets(), []string{"  selector", "  updateStrategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}\n  selector"}, "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := c.resource.Rules.Validate(t.Context(), object(t, c.resource, edit(t, deployment, c.edit...)))
			if c.want == "" {
				if len(errs) != 0 {
					t.Errorf("a valid object has errors: %v", errs)
				}
				return
			}
			if got := errs.ToAggregate(); got == nil || !strings.Contains(got.Error(), c.want) {
				t.Errorf("errors are\n%v\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestSelectorsAreImmutable(t *testing.T) {
	for _, r := range []*registry.Resource{Deployments(), ReplicaSets(), StatefulSets(), DaemonSets()} {
		old := object(t, r, deployment)
		changed := object(t, r, strings.ReplaceAll(deployment, "app: web", "app: other"))
		errs := r.Rules.ValidateUpdate(t.Context(), changed, old)
		if got := errs.ToAggregate(); got == nil || !strings.Contains(got.Error(), `spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: field is immutable`) {
			t.Errorf("%s: %v", r.Kind, got)
		}
	}
}

func TestDaemonSetsCountTemplates(t *testing.T) {
	r := DaemonSets()
	const key = "deprecated.daemonset.template.generation"
	d := object(t, r, deployment)
	r.Rules.PrepareCreate(t.Context(), d)
	if got := d.GetAnnotations()[key]; got != "1" {
		t.Fatalf("created at template generation %q", got)
	}
	same := object(t, r, deployment)
	r.Rules.PrepareUpdate(t.Context(), same, d)
	changed := object(t, r, edit(t, deployment, "image: web", "image: web:2"))
	r.Rules.PrepareUpdate(t.Context(), changed, d)
	if a, b := same.GetAnnotations()[key], changed.GetAnnotations()[key]; a != "1" || b != "2" {
		t.Errorf("template generations %q without and %q with a change, want 1 and 2", a, b)
	}
}

func TestScale(t *testing.T) {
	for _, r := range []*registry.Resource{Deployments(), ReplicaSets(), StatefulSets()} {
		o := object(t, r, deployment)
		for _, s := range r.Subresources {
			if s.Scale == nil {
				continue
			}
			s.Scale.Set(o, 7)
			got, err := s.Scale.Get(o)
			if err != nil {
				t.Fatal(err)
			}
			if got.Spec.Replicas != 7 || got.Status.Selector != "app=web" || got.Name != "web" {
				t.Errorf("%s: %+v", r.Kind, got)
			}
		}
	}
}

func TestDeploymentCells(t *testing.T) {
	d := object(t, Deployments(), deployment)
	cells := Deployments().Cells(d)
	want := []any{"web", "0/1", int64(0), int64(0), "<unknown>", "web", "web", "app=web"}
	for i := range want {
		if cells[i] != want[i] {
			t.Errorf("cell %d is %v, want %v", i, cells[i], want[i])
		}
	}
}
