package dns

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// followConfig keeps the settings as the ConfigMap says, until ctx ends. It
// watches that one object alone.
func (s *Server) followConfig(ctx context.Context) error {
	if s.cfg.Client == nil {
		return nil
	}
	informer := coreinformers.NewFilteredConfigMapInformer(s.cfg.Client, ConfigNamespace, 0, cache.Indexers{},
		func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, ConfigName).String()
		})
	if err := informer.SetWatchErrorHandlerWithContext(tellPatiently()); err != nil {
		return err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.configure(o.(*corev1.ConfigMap)) },
		UpdateFunc: func(_, o any) { s.configure(o.(*corev1.ConfigMap)) },
		DeleteFunc: func(any) { s.configure(nil) },
	})
	if err != nil {
		return err
	}
	informer.RunWithContext(ctx)
	return nil
}

// patience is how many attempts in a row may fail unsaid: while a cluster starts,
// the rights of nodes are not known yet.
const patience = 5

// tellPatiently logs that the ConfigMap cannot be read, once that lasts. DNS goes
// on with what it knows.
func tellPatiently() cache.WatchErrorHandlerWithContext {
	failures := 0
	return func(_ context.Context, _ *cache.Reflector, err error) {
		if failures++; failures == patience {
			slog.Warn("cannot read the DNS configuration", "configmap", ConfigNamespace+"/"+ConfigName, "err", err)
		}
	}
}

// configure takes new settings; what is wrong in them is told and left out.
func (s *Server) configure(cm *corev1.ConfigMap) {
	now, errs := parseSettings(cm, s.cfg.Listen)
	for _, err := range errs {
		slog.Warn("an entry of the DNS configuration is left out", "configmap", ConfigNamespace+"/"+ConfigName, "err", err)
	}
	s.handler.settings.Store(&now)
	s.handler.cache.clear() // answers of servers that are asked no more
}
