package batch

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"
	// Boxes may have no time zone database.
	_ "time/tzdata"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"skiff/server/registry/check"
	"skiff/server/registry/podtemplate"
)

// maxCronJobName leaves room for the suffix that its jobs' names get.
const maxCronJobName = 52

func validateCronJob(_ context.Context, c *batchv1.CronJob) field.ErrorList {
	opts := podtemplate.OptionsForTemplate(&c.Spec.JobTemplate.Spec.Template, nil)
	errs := validateCronJobSpec(&c.Spec, nil, field.NewPath("spec"), opts)
	if len(c.Name) > maxCronJobName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), c.Name, fmt.Sprintf("must be no more than %d characters", maxCronJobName)))
	}
	return errs
}

func validateCronJobUpdate(_ context.Context, c, old *batchv1.CronJob) field.ErrorList {
	opts := podtemplate.OptionsForTemplate(&c.Spec.JobTemplate.Spec.Template, &old.Spec.JobTemplate.Spec.Template)
	return validateCronJobSpec(&c.Spec, &old.Spec, field.NewPath("spec"), opts)
}

// validateCronJobSpec checks a spec; old is nil on create.
func validateCronJobSpec(spec, old *batchv1.CronJobSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	var errs field.ErrorList
	if spec.Schedule == "" {
		errs = append(errs, field.Required(fld.Child("schedule"), ""))
	} else {
		hadZone := old != nil && strings.Contains(old.Schedule, "TZ")
		errs = append(errs, validateSchedule(spec, hadZone, fld.Child("schedule"))...)
	}
	errs = append(errs, check.NonNegativePtr(spec.StartingDeadlineSeconds, fld.Child("startingDeadlineSeconds"))...)
	if spec.TimeZone != nil && (old == nil || !ptr.Equal(old.TimeZone, spec.TimeZone)) {
		errs = append(errs, validateTimeZone(spec.TimeZone, fld.Child("timeZone"))...)
	}
	errs = append(errs, validateConcurrency(spec.ConcurrencyPolicy, fld.Child("concurrencyPolicy"))...)
	errs = append(errs, validateJobTemplate(&spec.JobTemplate.Spec, fld.Child("jobTemplate", "spec"), opts)...)
	errs = append(errs, check.NonNegativePtr(spec.SuccessfulJobsHistoryLimit, fld.Child("successfulJobsHistoryLimit"))...)
	return append(errs, check.NonNegativePtr(spec.FailedJobsHistoryLimit, fld.Child("failedJobsHistoryLimit"))...)
}

func validateConcurrency(p batchv1.ConcurrencyPolicy, fld *field.Path) field.ErrorList {
	switch p {
	case batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent:
		return nil
	case "":
		return field.ErrorList{field.Required(fld, "")}
	default:
		return field.ErrorList{field.NotSupported(fld, p, []batchv1.ConcurrencyPolicy{batchv1.AllowConcurrent, batchv1.ForbidConcurrent, batchv1.ReplaceConcurrent})}
	}
}

func validateJobTemplate(spec *batchv1.JobSpec, fld *field.Path, opts podtemplate.Options) field.ErrorList {
	errs := validateJobTemplateSpec(spec, fld, opts)
	if spec.Selector != nil {
		errs = append(errs, field.Invalid(fld.Child("selector"), spec.Selector, "`selector` will be auto-generated"))
	}
	if ptr.Deref(spec.ManualSelector, false) {
		errs = append(errs, field.NotSupported(fld.Child("manualSelector"), spec.ManualSelector, []string{"nil", "false"}))
	}
	return errs
}

// validateSchedule checks a schedule, which may name a time zone only if the
// stored one did.
func validateSchedule(spec *batchv1.CronJobSpec, hadZone bool, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if err := parseSchedule(spec.Schedule); err != nil {
		errs = append(errs, field.Invalid(fld, spec.Schedule, err.Error()))
	}
	if !strings.Contains(spec.Schedule, "TZ") {
		return errs
	}
	if !hadZone {
		return append(errs, field.Invalid(fld, spec.Schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
	}
	if spec.TimeZone != nil {
		errs = append(errs, field.Invalid(fld, spec.Schedule, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))
	}
	return errs
}

// parseSchedule parses a standard cron line. The parser panics on some malformed
// time zones.
func parseSchedule(schedule string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("invalid schedule format: %v", r)
		}
	}()
	_, err = cron.ParseStandard(schedule)
	return err
}

// zonePart is a part of a time zone's name between slashes, see
// https://data.iana.org/time-zones/theory.html#naming; digits and + are in some
// old names.
var zonePart = regexp.MustCompile(`^[A-Za-z\.\-_0-9+]{1,14}$`)

func validateTimeZone(zone *string, fld *field.Path) field.ErrorList {
	if *zone == "" {
		return field.ErrorList{field.Invalid(fld, zone, "timeZone must be nil or non-empty string")}
	}
	for part := range strings.SplitSeq(*zone, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") || !zonePart.MatchString(part) {
			return field.ErrorList{field.Invalid(fld, zone, "unknown time zone "+*zone)}
		}
	}
	var errs field.ErrorList
	if strings.EqualFold(*zone, "Local") {
		errs = append(errs, field.Invalid(fld, zone, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"))
	}
	if _, err := time.LoadLocation(*zone); err != nil {
		errs = append(errs, field.Invalid(fld, zone, err.Error()))
	}
	return errs
}
