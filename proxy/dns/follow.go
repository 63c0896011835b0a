package dns

import (
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/server/clusterinfo"
)

// followConfig keeps the settings as the ConfigMap says, for as long as its informer
// runs.
func (s *Server) followConfig() error {
	if s.cfg.ConfigMap == nil {
		return nil
	}
	_, err := s.cfg.ConfigMap.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { s.configure(o.(*corev1.ConfigMap)) },
		UpdateFunc: func(_, o any) { s.configure(o.(*corev1.ConfigMap)) },
		DeleteFunc: func(any) { s.configure(nil) },
	})
	if err != nil {
		return fmt.Errorf("follow the DNS configuration: %w", err)
	}
	return nil
}

// configure takes new settings; what is wrong in them is told and left out.
func (s *Server) configure(cm *corev1.ConfigMap) {
	now, errs := parseSettings(cm, s.cfg.Listen)
	for _, err := range errs {
		slog.Warn("an entry of the DNS configuration is left out", "configmap", clusterinfo.Namespace+"/"+clusterinfo.DNSName, "err", err)
	}
	s.handler.settings.Store(&now)
	s.handler.cache.clear() // answers of servers that are asked no more
}
