package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

func TestLibrariesLogWhatMatters(t *testing.T) {
	var out bytes.Buffer
	klog.SetSlogLogger(slog.New(libraryHandler{slog.NewTextHandler(&out, nil)}))
	t.Cleanup(klog.ClearLogger)
	klog.Background().Info("Can't get CPU or zone information for node")
	klog.Background().Error(errors.New("use of closed network connection"), "Error on socket receive")
	klog.Background().Error(errors.New(`error executing command in container: no such file`), "Unhandled Error")
	klog.Background().Error(errors.New("connection refused"), "Unable to write event (may retry after sleeping)")
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	klog.Background().Error(errors.New("the disk is full"), "Unhandled Error")
	if !strings.Contains(out.String(), "the disk is full") {
		t.Errorf("an error that matters is not logged: %q", out.String())
	}
}

// TestBodiesAreNeverLogged: client-go logs requests and answers, whatever is in
// them, at level 8.
func TestBodiesAreNeverLogged(t *testing.T) {
	var out bytes.Buffer
	klog.SetSlogLogger(slog.New(libraryHandler{slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})}))
	t.Cleanup(klog.ClearLogger)
	klog.Background().V(8).Info("Request Body", "body", "a secret")
	if out.Len() > 0 {
		t.Errorf("logged %s", out.String())
	}
	klog.Background().V(4).Info("Caches populated")
	if !strings.Contains(out.String(), "Caches populated") {
		t.Errorf("what is for debugging is not logged: %q", out.String())
	}
}
