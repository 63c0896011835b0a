package api

import (
	"k8s.io/apimachinery/pkg/runtime"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/server/registry"
)

func newDeleteOptions() runtime.Object { return &metav1.DeleteOptions{} }

// get answers GET of one object.
func (c *call) get() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	var opts metav1.GetOptions
	if c.values != nil {
		if err := metav1.Convert_url_Values_To_v1_GetOptions(&c.values, &opts, nil); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	item, err := c.endpoint.store.Read(c.ctx, c.info.Namespace, c.info.Name, opts.ResourceVersion)
	if err != nil {
		return err
	}
	return c.respond(200, o, stored{key: item.Key, value: item.Value, revision: item.Revision})
}

// list answers GET of a collection.
func (c *call) list() error {
	o, err := c.negotiate(c.endpoint.serves)
	if err != nil {
		return err
	}
	opts, err := c.listOptions(false)
	if err != nil {
		return err
	}
	list, err := c.endpoint.store.List(c.ctx, opts.registry(c.info.Namespace))
	if err != nil {
		return err
	}
	return c.respondList(o, list)
}

func (o *listOptions) registry(namespace string) registry.ListOptions {
	return registry.ListOptions{
		Namespace: namespace, Selector: o.selector, ResourceVersion: o.ResourceVersion,
		Match: o.ResourceVersionMatch, Limit: o.Limit, Continue: o.Continue,
	}
}
