package client

import (
	"context"
	"net/http"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

const (
	protobuf = "application/vnd.kubernetes.protobuf"
	// protobufOrJSON lets custom resources, which have no protobuf, through.
	protobufOrJSON = protobuf + ",application/json"
	userAgent      = "skiff"
)

// InProcess returns a config whose requests are calls of h, in the name of u.
// There is no rate limit and no timeout: the caller's context ends a request.
func InProcess(h http.Handler, u user.Info) *rest.Config {
	return &rest.Config{
		Host:          "http://skiff",
		Transport:     NewTransport(h, u),
		QPS:           -1,
		UserAgent:     userAgent,
		ContentConfig: rest.ContentConfig{ContentType: protobuf, AcceptContentTypes: protobufOrJSON},
	}
}

// Remote returns a config for the API server at host ("https://10.0.0.1:6443"),
// which is checked by the authorities in tls and told who calls by its client
// certificate.
func Remote(host string, tls rest.TLSClientConfig) *rest.Config {
	return &rest.Config{
		Host:            host,
		TLSClientConfig: tls,
		QPS:             -1,
		UserAgent:       userAgent,
		ContentConfig:   rest.ContentConfig{ContentType: protobuf, AcceptContentTypes: protobufOrJSON},
	}
}

// Informers returns a factory of informers without resync. A process has one, so
// that it holds one decoded copy of each object; of that, managed fields are
// dropped, which no reader in the process looks at.
func Informers(c kubernetes.Interface) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(c, 0, informers.WithTransform(DropManagedFields))
}

// ConfigMapInformer returns an informer of one config map, so that all others need
// not be held in memory. Who asked for it runs it.
func ConfigMapInformer(c kubernetes.Interface, namespace, name string) cache.SharedIndexInformer {
	return coreinformers.NewFilteredConfigMapInformer(c, namespace, 0,
		cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		})
}

// DropManagedFields is a transform of informers.
func DropManagedFields(obj any) (any, error) {
	if m, err := meta.Accessor(obj); err == nil && len(m.GetManagedFields()) > 0 {
		m.SetManagedFields(nil)
	}
	return obj, nil
}

// WaitForSync waits until all started informers of a factory have their first
// list, or ctx ends. It returns whether they have.
func WaitForSync(ctx context.Context, f informers.SharedInformerFactory) bool {
	for _, ok := range f.WaitForCacheSync(ctx.Done()) {
		if !ok {
			return false
		}
	}
	return ctx.Err() == nil
}
