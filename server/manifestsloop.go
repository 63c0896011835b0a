package server

import (
	"log/slog"
	"net/http"
	"path/filepath"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"skiff/server/client"
	"skiff/server/manifests"
)

// addManifests adds the loop that applies the data folder's manifests to the
// controllers, beside which it runs.
func (cp *controlPlane) addManifests(handler http.Handler) error {
	if cp.cfg.Disabled("manifests") {
		return nil
	}
	config := client.InProcess(handler, as("system:skiff:manifests", user.SystemPrivilegedGroup))
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	cp.controllers = append(cp.controllers, manifests.New(manifests.Config{
		Dir: filepath.Join(cp.cfg.DataDir, "manifests"), Server: cp.cfg.NodeName,
		Client: clientset, Dynamic: objects,
		Events: cp.events.Recorder("manifests"), Clock: clock.RealClock{}, Logger: slog.Default(),
	}))
	return nil
}
