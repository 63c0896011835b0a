package api

import (
	"encoding/json"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pods lists the node's pods as the agent has them.
func (s *Server) pods(w http.ResponseWriter, _ *http.Request) {
	s.podList(w, func(*corev1.Pod) bool { return true })
}

// runningPods lists those that have a container running.
func (s *Server) runningPods(w http.ResponseWriter, _ *http.Request) {
	s.podList(w, func(p *corev1.Pod) bool {
		for i := range p.Status.ContainerStatuses {
			if p.Status.ContainerStatuses[i].State.Running != nil {
				return true
			}
		}
		return false
	})
}

func (s *Server) podList(w http.ResponseWriter, want func(*corev1.Pod) bool) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, p := range s.cfg.Pods.Pods() {
		if want(p) {
			list.Items = append(list.Items, *p)
		}
	}
	writeJSON(w, list)
}

// summary is the statistics of the node and its pods.
func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	sum, err := s.stats.Summary(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, sum)
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data)
}
