// Package batch describes the resources of the API group batch: jobs and cron
// jobs.
//
// A job's rules are in job.go, job_validation.go (spec), job_policies.go (failure
// and success policies), job_update.go and job_status.go; a cron job's in
// cronjob.go and cronjob_validation.go.
package batch

// Group is the API group's name.
const Group = "batch"

// setDefault points *p to value unless it is set.
func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}
