package offline

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"skiff/agent/objects"
)

// needs are the slots that the node's pods need.
type needs struct {
	pods  map[string]bool
	slots map[slot]bool
}

// prune has dropped what no pod of this node needs any more: what is kept must not
// outlive its use, least of all secrets.
func (s *Store) prune(pods cache.Indexer) {
	n := needs{pods: map[string]bool{}, slots: map[slot]bool{}}
	for _, obj := range pods.List() {
		n.add(obj.(*corev1.Pod))
	}
	s.mu.Lock()
	for at := range s.held {
		n.slots[at] = true // followed for a pod of a file
	}
	s.mu.Unlock()
	for _, in := range []bucket{bucketConfig, bucketSecret, bucketToken, bucketClaim, bucketVolume, bucketClass} {
		keys, err := s.file.keys(in)
		if err != nil {
			s.log.Warn("cannot look for what no pod needs any more", "err", err)
			return
		}
		for _, key := range keys {
			if at := (slot{in, key}); !s.needed(n, at) {
				s.put(at, soon, func() ([]byte, error) { return nil, nil })
			}
		}
	}
}

func (s *Store) needed(n needs, at slot) bool {
	if at.bucket == bucketToken {
		pod, _, _ := strings.Cut(at.key, "/")
		return n.pods[pod]
	}
	if at.bucket == bucketClaim && n.slots[at] {
		// What it is bound to is looked at next.
		if value, ok := s.read(at); ok {
			var claim corev1.PersistentVolumeClaim
			if claim.Unmarshal(value) == nil {
				n.slots[slot{bucketVolume, claim.Spec.VolumeName}] = true
			}
		}
	}
	return n.slots[at]
}

func (n needs) add(pod *corev1.Pod) {
	n.pods[string(pod.UID)] = true
	objects.References(pod, func(secret bool, namespace, name string) { n.slots[configSlot(secret, namespace, name)] = true })
	for i := range pod.Spec.Volumes {
		switch v := &pod.Spec.Volumes[i]; {
		case v.PersistentVolumeClaim != nil:
			n.slots[slot{bucketClaim, pod.Namespace + "/" + v.PersistentVolumeClaim.ClaimName}] = true
		case v.Ephemeral != nil:
			n.slots[slot{bucketClaim, pod.Namespace + "/" + pod.Name + "-" + v.Name}] = true
		}
	}
	if class := pod.Spec.RuntimeClassName; class != nil {
		n.slots[slot{bucketClass, *class}] = true
	}
}
