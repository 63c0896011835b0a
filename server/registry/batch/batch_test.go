package batch

import (
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"skiff/server/registry"
)

const job = `
metadata: {name: pi, namespace: default, uid: u1}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: pi, image: pi}]}
`

const cronJob = `
metadata: {name: pi, namespace: default}
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    spec:
      template:
        spec: {restartPolicy: Never, containers: [{name: pi, image: pi}]}
`

func object(t *testing.T, r *registry.Resource, manifest string) registry.Object {
	t.Helper()
	o := r.Storage().New().(registry.Object)
	if err := yaml.UnmarshalStrict([]byte(manifest), o); err != nil {
		t.Fatal(err)
	}
	r.Rules.Default(o)
	r.Rules.PrepareCreate(t.Context(), o)
	return o
}

func expect(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("a valid object has errors: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("errors are\n%v\nwant\n%s", err, want)
	}
}

func TestValidateJob(t *testing.T) {
	for spec, want := range map[string]string{
		"":                "",
		"parallelism: -1": "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
		"completionMode: Indexed\n  parallelism: 2":     "spec.completions: Required value: when completion mode is Indexed",
		"completionMode: Other":                         `spec.completionMode: Unsupported value: "Other": supported values: "NonIndexed", "Indexed"`,
		"backoffLimitPerIndex: 1":                       "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode",
		"maxFailedIndexes: 1":                           "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
		"managedBy: x":                                  "spec.managedBy: Invalid value: \"x\": must be a domain-prefixed path",
		"podReplacementPolicy: Other":                   `spec.podReplacementPolicy: Unsupported value: "Other": supported values: "Failed", "TerminatingOrFailed"`,
		"successPolicy: {rules: [{succeededCount: 1}]}": "requires indexed completion mode",
		"completionMode: Indexed\n  completions: 3\n  successPolicy: {rules: [{succeededIndexes: 0-9}]}":             `spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0-9": error parsing succeededIndexes: too large index: "9"`,
		"podFailurePolicy: {rules: [{action: Ignore}]}":                                                              "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
		"podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [2, 1]}}]}":                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered",
		"podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [0]}}]}":                   "must not be 0 for the In operator",
		"podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [1], containerName: x}}]}": "must be one of the container or initContainer names in the pod template",
		"podFailurePolicy: {rules: [{action: FailIndex, onExitCodes: {operator: In, values: [1]}}]}":                 "requires the backoffLimitPerIndex to be set",
		"selector: {matchLabels: {a: b}}": "`selector` not auto-generated",
	} {
		t.Run(spec, func(t *testing.T) {
			o := object(t, Jobs(), strings.Replace(job, "  template:", "  "+spec+"\n  template:", 1))
			expect(t, Jobs().Rules.Validate(t.Context(), o).ToAggregate(), want)
		})
	}
	restart := object(t, Jobs(), strings.Replace(job, "restartPolicy: Never, ", "", 1))
	expect(t, Jobs().Rules.Validate(t.Context(), restart).ToAggregate(), `spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"`)
}

func TestJobsSelectTheirPods(t *testing.T) {
	j := object(t, Jobs(), job).(*batchv1.Job)
	if got := j.Spec.Selector.MatchLabels["batch.kubernetes.io/controller-uid"]; got != "u1" {
		t.Errorf("selects pods of %q", got)
	}
	for _, l := range []string{"controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"} {
		if j.Spec.Template.Labels[l] == "" {
			t.Errorf("the pods have no label %s", l)
		}
	}
}

func TestJobUpdates(t *testing.T) {
	r := Jobs()
	update := func(change func(j, old *batchv1.Job)) error {
		old := object(t, r, job).(*batchv1.Job)
		j := old.DeepCopy()
		change(j, old)
		return r.Rules.ValidateUpdate(t.Context(), j, old).ToAggregate()
	}
	n := int32(3)
	yes := true
	expect(t, update(func(j, _ *batchv1.Job) { j.Spec.Parallelism = &n }), "")
	expect(t, update(func(j, _ *batchv1.Job) { j.Spec.Completions = &n }), "spec.completions: Invalid value: 3: field is immutable")
	expect(t, update(func(j, _ *batchv1.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{"a": "b"} }), "field is immutable")
	expect(t, update(func(j, old *batchv1.Job) {
		j.Spec.Suspend, old.Spec.Suspend = &yes, &yes
		j.Spec.Template.Spec.NodeSelector = map[string]string{"a": "b"}
	}), "")
	expect(t, update(func(j, old *batchv1.Job) {
		j.Spec.Suspend, old.Spec.Suspend = &yes, &yes
		j.Spec.Template.Spec.Containers[0].Image = "other"
	}), "spec.template.spec")
}

func TestJobStatus(t *testing.T) {
	rules := Jobs().Subresources[0].Update
	update := func(change func(j, old *batchv1.Job)) error {
		old := object(t, Jobs(), job).(*batchv1.Job)
		j := old.DeepCopy()
		change(j, old)
		return rules.ValidateUpdate(t.Context(), j, old).ToAggregate()
	}
	condition := func(types ...batchv1.JobConditionType) []batchv1.JobCondition {
		var list []batchv1.JobCondition
		for _, c := range types {
			list = append(list, batchv1.JobCondition{Type: c, Status: "True"})
		}
		return list
	}
	expect(t, update(func(j, _ *batchv1.Job) { j.Status.Active = 1 }), "")
	expect(t, update(func(j, _ *batchv1.Job) { j.Status.Conditions = condition(batchv1.JobFailed) }), "cannot set Failed=True condition without the FailureTarget=true condition")
	expect(t, update(func(j, _ *batchv1.Job) {
		j.Status.Conditions = condition(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	}), "status.completionTime: Required value: completionTime is required for Complete jobs")
	expect(t, update(func(_, old *batchv1.Job) { old.Status.Conditions = condition(batchv1.JobFailed) }), "cannot disable the terminal Failed=True condition")
	expect(t, update(func(_, old *batchv1.Job) { old.Status.Failed = 1 }), "status.failed: Invalid value: 0: cannot decrease the failed counter")
}

func TestValidateCronJob(t *testing.T) {
	for edit, want := range map[string]string{
		"":                                     "",
		`schedule: "*/5 * * * *"|schedule: ""`: "spec.schedule: Required value",
		`schedule: "*/5 * * * *"|schedule: "often"`:                                     `spec.schedule: Invalid value: "often": expected exactly 5 fields, found 1: [often]`,
		`schedule: "*/5 * * * *"|schedule: "TZ=UTC 0 0 * * *"`:                          "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
		`schedule: "*/5 * * * *"|schedule: "0 0 * * *"` + "\n  timeZone: Europe/Zurich": "",
		`schedule: "*/5 * * * *"|schedule: "0 0 * * *"` + "\n  timeZone: Nowhere/Land":  `spec.timeZone: Invalid value: "Nowhere/Land": unknown time zone Nowhere/Land`,
		`schedule: "*/5 * * * *"|schedule: "0 0 * * *"` + "\n  timeZone: local":         "timeZone must be an explicit time zone",
		`schedule: "*/5 * * * *"|schedule: "@daily"` + "\n  concurrencyPolicy: Maybe":   `spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"`,
		"name: pi|name: " + strings.Repeat("x", 53):                                     "metadata.name: Invalid value: \"" + strings.Repeat("x", 53) + "\": must be no more than 52 characters",
		"    spec:\n|    spec:\n      manualSelector: true\n":                           "spec.jobTemplate.spec.manualSelector: Unsupported value: true",
	} {
		t.Run(edit, func(t *testing.T) {
			from, to, _ := strings.Cut(edit, "|")
			o := object(t, CronJobs(), strings.Replace(cronJob, from, to, 1))
			expect(t, CronJobs().Rules.Validate(t.Context(), o).ToAggregate(), want)
		})
	}
}

func TestIndexLists(t *testing.T) {
	for list, want := range map[string]string{"": "", "1,3-5,7": "", "3-1": "non-increasing order, previous: 3, current: 1", "5,5": "non-increasing order", "a": "cannot convert", "1-2-3": "at most two parts", "10": "too large"} {
		_, err := countIndexes(list, 10)
		expect(t, err, want)
	}
	if n, _ := countIndexes("1,3-5,7", 10); n != 5 {
		t.Errorf("1,3-5,7 are %d indexes", n)
	}
	if i := overlap("1,3-5", "2,4-6", 10); i != 4 {
		t.Errorf("overlap at %d, want 4", i)
	}
	if i := overlap("1,3-5", "2,6", 10); i != -1 {
		t.Errorf("overlap at %d, want none", i)
	}
}
