package batch

import (
	"context"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/podtemplate"
	"skiff/server/registry/table"
)

// CronJobs returns the resource cronjobs.
func CronJobs() *registry.Resource {
	return &registry.Resource{
		Group: Group, Plural: "cronjobs", Singular: "cronjob", Kind: "CronJob", Namespaced: true,
		ShortNames: []string{"cj"}, Categories: []string{"all"},
		Versions: []registry.Version{{Name: "v1", New: registry.New[batchv1.CronJob](), NewList: registry.New[batchv1.CronJobList]()}},
		Rules: registry.Rules{
			Default: registry.Default(defaultCronJob),
			PrepareCreate: registry.Prepare(func(_ context.Context, c *batchv1.CronJob) {
				c.Status = batchv1.CronJobStatus{}
				dropDisabled(&c.Spec.JobTemplate.Spec, nil)
			}),
			PrepareUpdate: registry.PrepareUpdate(func(_ context.Context, c, old *batchv1.CronJob) {
				c.Status = old.Status
				dropDisabled(&c.Spec.JobTemplate.Spec, &old.Spec.JobTemplate.Spec)
			}),
			Generation:               true,
			Validate:                 registry.Validate(validateCronJob),
			ValidateUpdate:           registry.ValidateUpdate(validateCronJobUpdate),
			Warnings:                 cronJobWarnings,
			AllowUnconditionalUpdate: true,
		},
		Columns: cronJobColumns(),
		Cells:   registry.Cells(cronJobCells),
		Subresources: []registry.Subresource{{Name: "status", Update: &registry.Rules{
			Default:                  registry.Default(defaultCronJob),
			PrepareUpdate:            registry.PrepareUpdate(func(_ context.Context, c, old *batchv1.CronJob) { c.Spec = old.Spec }),
			AllowUnconditionalUpdate: true,
		}}},
	}
}

func defaultCronJob(c *batchv1.CronJob) {
	// The job template's own defaults are the job's, when one is made of it; but
	// clients see the pod template's.
	podtemplate.DefaultTemplate(&c.Spec.JobTemplate.Spec.Template)
	defaultFailurePolicy(c.Spec.JobTemplate.Spec.PodFailurePolicy)
	if c.Spec.ConcurrencyPolicy == "" {
		c.Spec.ConcurrencyPolicy = batchv1.AllowConcurrent
	}
	setDefault(&c.Spec.Suspend, false)
	setDefault(&c.Spec.SuccessfulJobsHistoryLimit, 3)
	setDefault(&c.Spec.FailedJobsHistoryLimit, 1)
}

func cronJobWarnings(_ context.Context, obj, old registry.Object) []string {
	c := obj.(*batchv1.CronJob)
	spec := field.NewPath("spec", "jobTemplate", "spec")
	if old == nil {
		return append(podtemplate.NameWarnings(c.Name), jobSpecWarnings(&c.Spec.JobTemplate.Spec, spec)...)
	}
	var warnings []string
	if c.Generation != old.GetGeneration() {
		warnings = jobSpecWarnings(&c.Spec.JobTemplate.Spec, spec)
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		warnings = append(warnings, "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details")
	}
	return warnings
}

func cronJobColumns() []table.Column {
	return append([]table.Column{
		table.Name(),
		table.String("Schedule", table.Doc(batchv1.CronJobSpec{}, "schedule")),
		table.String("Timezone", table.Doc(batchv1.CronJobSpec{}, "timeZone")),
		table.Boolean("Suspend", table.Doc(batchv1.CronJobSpec{}, "suspend")),
		table.Integer("Active", table.Doc(batchv1.CronJobStatus{}, "active")),
		table.String("Last Schedule", table.Doc(batchv1.CronJobStatus{}, "lastScheduleTime")),
		table.Age(),
	}, append(table.ContainersWide(), table.Wide("Selector", table.Doc(batchv1.JobSpec{}, "selector")))...)
}

func cronJobCells(c *batchv1.CronJob) []any {
	last := "<none>"
	if t := c.Status.LastScheduleTime; t != nil {
		last = table.Since(*t)
	}
	job := &c.Spec.JobTemplate.Spec
	names, images := table.Containers(job.Template.Spec.Containers)
	return []any{
		c.Name, c.Spec.Schedule, table.Or(c.Spec.TimeZone, "<none>"), table.Bool(c.Spec.Suspend),
		int64(len(c.Status.Active)), last, table.Since(c.CreationTimestamp),
		names, images, metav1.FormatLabelSelector(job.Selector),
	}
}
