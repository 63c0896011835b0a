package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"skiff/agent/logs"
	"skiff/agent/pod"
)

// logQuery is what a request for a log asks for.
type logQuery struct {
	logs.Options
	previous bool
	stream   string
}

func parseLogQuery(q url.Values) (logQuery, error) {
	out := logQuery{Options: logs.Options{Tail: -1}, stream: "All"}
	flag := func(name string, into *bool) error {
		if v := q.Get(name); v != "" {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("%s: %q is not a boolean", name, v)
			}
			*into = b
		}
		return nil
	}
	number := func(name string, least int64, into *int64) error {
		if v := q.Get(name); v != "" && v != "all" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < least {
				return fmt.Errorf("%s: %q must be a number of at least %d", name, v, least)
			}
			*into = n
		}
		return nil
	}
	var seconds int64
	if err := errors.Join(flag("follow", &out.Follow), flag("previous", &out.previous), flag("timestamps", &out.Timestamps),
		number("tailLines", 0, &out.Tail), number("limitBytes", 1, &out.LimitBytes), number("sinceSeconds", 1, &seconds)); err != nil {
		return out, err
	}
	if seconds > 0 {
		out.Since = time.Now().Add(-time.Duration(seconds) * time.Second)
	}
	if v := q.Get("sinceTime"); v != "" {
		t, err := time.Parse(time.RFC3339, v)
		if err != nil || seconds > 0 {
			return out, fmt.Errorf("sinceTime: %q is not a time, or sinceSeconds is given too", v)
		}
		out.Since = t
	}
	if v := q.Get("stream"); v != "" {
		out.stream = v
	}
	return out, nil
}

// logs streams a container's log.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	query, err := parseLogQuery(r.URL.Query())
	if err != nil {
		http.Error(w, `{"message": "Invalid request."}`, http.StatusUnprocessableEntity)
		return
	}
	name := r.PathValue("container")
	found, ok := s.cfg.Pods.Find(r.PathValue("namespace"), r.PathValue("pod"))
	if !ok {
		http.Error(w, fmt.Sprintf("pod %q does not exist", r.PathValue("pod")), http.StatusNotFound)
		return
	}
	c, err := s.logged(found, name, query.previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	query.Running = func() bool {
		now, ok := s.cfg.Pods.Find(found.Pod.Namespace, found.Pod.Name)
		if !ok || now.Pod.UID != found.Pod.UID {
			return false
		}
		return now.Running(c.ID)
	}
	if query.Follow && !query.Running() {
		query.Follow = false
	}
	w.Header().Set("Content-Type", "text/plain")
	out := &flusher{w: w}
	var stdout, stderr = writerFor(out, query.stream, "Stdout"), writerFor(out, query.stream, "Stderr")
	if err := logs.Read(r.Context(), c.LogPath, query.Options, stdout, stderr); err != nil && !out.begun {
		status := http.StatusInternalServerError
		if errors.Is(err, fs.ErrNotExist) {
			status = http.StatusNotFound
		}
		http.Error(w, err.Error(), status)
	}
}

// logged finds the container whose log is asked for, or says why there is none.
func (s *Server) logged(found pod.Found, name string, previous bool) (pod.Container, error) {
	c, ok := found.Container(name, previous)
	if ok && c.LogPath != "" {
		return c, nil
	}
	p := found.Pod
	if previous {
		return c, fmt.Errorf("previous terminated container %q in pod %q not found", name, p.Name)
	}
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses} {
		for i := range list {
			if w := list[i].State.Waiting; list[i].Name == name && w != nil {
				if w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" && w.Message != "" {
					return c, fmt.Errorf("container %q in pod %q is waiting to start: %s", name, p.Name, w.Message)
				}
				return c, fmt.Errorf("container %q in pod %q is waiting to start: %s", name, p.Name, w.Reason)
			}
		}
	}
	return c, fmt.Errorf("container %q in pod %q is not available", name, p.Name)
}

// flusher sends each write at once, because somebody may be watching.
type flusher struct {
	w     http.ResponseWriter
	begun bool
}

func (f *flusher) Write(p []byte) (int, error) {
	f.begun = true
	n, err := f.w.Write(p)
	if fl, ok := f.w.(http.Flusher); ok {
		fl.Flush()
	}
	return n, err
}
