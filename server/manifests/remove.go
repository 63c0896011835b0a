package manifests

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// errKept is that the API server lets an object not be deleted, as the namespaces
// that every cluster has. Asking again is no use.
var errKept = errors.New("is kept: its deletion is forbidden")

// remove deletes an object that a file made, unless it is not the file's any more:
// it was made anew by somebody else, or another file has taken it over. It returns
// whether it was there.
func remove(ctx context.Context, client dynamic.Interface, k *kinds, r removal) (bool, error) {
	m, err := k.find(r.GroupKind)
	if errors.Is(err, errUnserved) {
		return false, nil // its objects went with the kind
	}
	if err != nil {
		return false, err
	}
	objects := resource(client, m.Resource, r.namespace)
	live, err := objects.Get(ctx, r.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if live.GetAnnotations()[annotationFile] != r.file || live.GetDeletionTimestamp() != nil {
		return false, nil
	}
	background := metav1.DeletePropagationBackground
	err = objects.Delete(ctx, r.name, metav1.DeleteOptions{
		PropagationPolicy: &background, Preconditions: metav1.NewUIDPreconditions(string(live.GetUID())),
	})
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case apierrors.IsForbidden(err):
		return false, fmt.Errorf("%w: %w", errKept, err)
	}
	return err == nil, err
}
