package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/server/api"
	"skiff/server/registry"
)

// checks are the parts of the API server's health, under upstream's names: probes
// ask for them one by one.
func (cp *controlPlane) checks() []api.Check {
	return []api.Check{
		{Name: "etcd", Run: func(context.Context) error { return cp.healthy() }},
		{Name: "informer-sync", NotLive: true, Run: func(ctx context.Context) error { return cp.synced(ctx) }},
	}
}

// synced tells which caches do not have the cluster's state yet.
func (cp *controlPlane) synced(ctx context.Context) error {
	now, cancel := context.WithCancel(ctx)
	cancel() // only to look, not to wait
	result := cp.informers.WaitForCacheSyncWithContext(now)
	if len(result.Synced) == 0 {
		return errors.New("informers have not started")
	}
	var missing []string
	for typ, ok := range result.Synced {
		if !ok {
			missing = append(missing, typ.String())
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("%d informers have not synced: %s", len(missing), strings.Join(missing, ", "))
}

// objects returns the API server's store of a resource, once there is one.
func (cp *controlPlane) objects(resource schema.GroupResource) (registry.Objects, bool) {
	s, ok := cp.api.Registry().Store(resource)
	if !ok {
		return nil, false
	}
	return s, true
}
