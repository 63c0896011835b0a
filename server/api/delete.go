package api

import (
	"k8s.io/apimachinery/pkg/runtime"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/admission"
	"skiff/server/registry"
)

// delete answers DELETE of one object.
func (c *call) delete() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	hooks := c.hooks(admission.Delete, c.info.Name, opts, len(opts.DryRun) > 0)
	w, err := c.endpoint.store.Remove(c.ctx, c.namespace(), c.info.Name, hooks, opts)
	if err != nil {
		return err
	}
	code := 200
	//nolint:staticcheck // old clients still send orphanDependents
	if orphan := opts.OrphanDependents; !w.Deleted && orphan != nil && !*orphan {
		code = 202
	}
	return c.respondDeleted(code, o, w)
}

func (c *call) respondDeleted(code int, o output, w registry.Written) error {
	var answer runtime.Object = c.endpoint.store.Answer(w)
	if status, ok := answer.(*metav1.Status); ok {
		return c.respondTyped(code, o, status)
	}
	return c.respond(code, o, storedOf(w))
}

// deleteCollection answers DELETE of a collection.
func (c *call) deleteCollection() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	list, err := c.listOptions(false)
	if err != nil {
		return err
	}
	opts, err := c.deleteOptions()
	if err != nil {
		return err
	}
	dryRun := len(opts.DryRun) > 0
	hooks := func(name string) registry.Hooks { return c.hooks(admission.Delete, name, opts, dryRun) }
	gone, err := c.endpoint.store.RemoveCollection(c.ctx, list.registry(c.info.Namespace), hooks, opts)
	if err != nil {
		return err
	}
	return c.respondList(o, gone)
}
