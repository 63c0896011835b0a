package autoscaling

import (
	"encoding/json"
	"strings"
	"testing"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

const full = `
metadata: {name: web, annotations: {mine: kept}}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 9
  metrics:
  - {type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 10}}}
  - {type: External, external: {metric: {name: queue}, target: {type: Value, value: 30}}}
  - {type: Object, object: {describedObject: {kind: Service, name: s, apiVersion: v1}, metric: {name: m}, target: {type: AverageValue, averageValue: 3}}}
  - {type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}
  - {type: ContainerResource, containerResource: {name: cpu, container: c, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 60}}
status:
  currentReplicas: 3
  desiredReplicas: 4
  conditions: [{type: AbleToScale, status: "True", reason: Ready, message: ok, lastTransitionTime: "2026-01-02T03:04:05Z"}]
  currentMetrics:
  - {type: Resource, resource: {name: cpu, current: {averageUtilization: 40, averageValue: 200m}}}
`

func parse(t *testing.T, manifest string) *hpa {
	t.Helper()
	h := &hpa{}
	if err := yaml.UnmarshalStrict([]byte(manifest), h); err != nil {
		t.Fatal(err)
	}
	defaultHPA(h)
	return h
}

func TestVersion1LosesNothing(t *testing.T) {
	h := parse(t, full)
	v1, err := toV1(h)
	if err != nil {
		t.Fatal(err)
	}
	if got := v1.(*autoscalingv1.HorizontalPodAutoscaler).Spec.TargetCPUUtilizationPercentage; got == nil || *got != 70 {
		t.Errorf("CPU target of v1 is %v, want 70", got)
	}
	back, err := fromV1(v1)
	if err != nil {
		t.Fatal(err)
	}
	if !apiequality.Semantic.DeepEqual(h, back) {
		a, _ := json.Marshal(h)
		b, _ := json.Marshal(back)
		t.Errorf("through v1:\n%s\nwant\n%s", b, a)
	}
}

func TestVersion1DefaultsToCPU(t *testing.T) {
	back, err := fromV1(&autoscalingv1.HorizontalPodAutoscaler{})
	if err != nil {
		t.Fatal(err)
	}
	if m := back.(*hpa).Spec.Metrics; len(m) != 1 || *m[0].Resource.Target.AverageUtilization != 80 {
		t.Errorf("metrics are %+v", m)
	}
}

func TestTargets(t *testing.T) {
	h := parse(t, full)
	if got, want := targets(h.Spec.Metrics, nil), "<unknown>/10, <unknown>/30 + 4 more..."; got != want {
		t.Errorf("targets %q, want %q", got, want)
	}
	if got, want := targets(h.Spec.Metrics[5:], h.Status.CurrentMetrics), "cpu: 40%/70%"; got != want {
		t.Errorf("targets %q, want %q", got, want)
	}
}

func TestValidate(t *testing.T) {
	for edit, want := range map[string]string{
		"":                                 "",
		"maxReplicas: 9|maxReplicas: 1":    "spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
		"maxReplicas: 9|maxReplicas: 0":    "spec.maxReplicas: Required value",
		"apps/v1|v1":                       "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
		"{metric: {name: rps}|{metric: {}": "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
		"value: 30|value: 0":               "spec.metrics[1].external.target.value: Invalid value: \"0\": must be positive",
		"{stabilizationWindowSeconds: 60}|{stabilizationWindowSeconds: 3601}": "must be less than or equal to 3600",
	} {
		from, to, _ := strings.Cut(edit, "|")
		err := validateHPA(t.Context(), parse(t, strings.Replace(full, from, to, 1))).ToAggregate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", edit, err, want)
		}
	}
}
