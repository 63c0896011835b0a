// Package batch describes the resources of the API group batch: jobs and cron
// jobs.
//
// A job's rules are in job.go, job_validation.go (spec), job_policies.go (failure
// and success policies), job_update.go and job_status.go; a cron job's in
// cronjob.go and cronjob_validation.go.
package batch

import (
	"fmt"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"skiff/server/registry"
)

// Group is the API group's name.
const Group = "batch"

// Resources returns the group's resources.
func Resources() []*registry.Resource {
	return []*registry.Resource{Jobs(), CronJobs()}
}

// setDefault points *p to value unless it is set.
func setDefault[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

// nameWarning warns of a name that makes bad pod names and host names.
func nameWarning(name string) []string {
	msgs := utilvalidation.IsDNS1123Label(name)
	if len(msgs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs)}
}
