package volume

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// defaultMode is that of files whose volume names none.
const defaultMode int32 = 0o644

// setConfig writes a volume made of config maps, secrets, fields of the pod and
// tokens.
func (m *Manager) setConfig(ctx context.Context, pod *corev1.Pod, v *corev1.Volume, podIPs []string) (time.Duration, error) {
	p := &payload{m: m, ctx: ctx, pod: pod, podIPs: podIPs, files: map[string]file{}}
	var err error
	switch {
	case v.ConfigMap != nil:
		err = p.configMap(v.ConfigMap.Name, v.ConfigMap.Items, mode(v.ConfigMap.DefaultMode), v.ConfigMap.Optional)
	case v.Secret != nil:
		err = p.secret(v.Secret.SecretName, v.Secret.Items, mode(v.Secret.DefaultMode), v.Secret.Optional)
	case v.DownwardAPI != nil:
		err = p.downward(v.DownwardAPI.Items, mode(v.DownwardAPI.DefaultMode))
	case v.Projected != nil:
		err = p.projected(v.Projected)
	}
	if err != nil {
		return 0, err
	}
	dir := m.path(pod.UID, v)
	if v.ConfigMap == nil {
		// Secrets never touch the disk.
		if err := tmpfs(m.cfg.Mounter, dir, "mode=0777"); err != nil {
			return 0, err
		}
	}
	return p.good, writeAtomically(dir, p.files, fsGroup(pod))
}

func mode(m *int32) int32 {
	if m == nil {
		return defaultMode
	}
	return *m
}

// payload collects the files of one volume.
type payload struct {
	m      *Manager
	ctx    context.Context
	pod    *corev1.Pod
	podIPs []string
	files  map[string]file
	// good is how long until a token must be renewed.
	good time.Duration
}

func (p *payload) configMap(name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	cm, err := p.m.cfg.Objects.ConfigMap(p.ctx, p.pod.Namespace, name)
	if err != nil {
		if isTrue(optional) && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	data := make(map[string][]byte, len(cm.Data)+len(cm.BinaryData))
	for k, v := range cm.Data {
		data[k] = []byte(v)
	}
	for k, v := range cm.BinaryData {
		data[k] = v
	}
	return p.add(data, items, mode, isTrue(optional), "configmap references non-existent config key: %s")
}

func (p *payload) secret(name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	s, err := p.m.cfg.Objects.Secret(p.ctx, p.pod.Namespace, name)
	if err != nil {
		if isTrue(optional) && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	return p.add(s.Data, items, mode, isTrue(optional), "references non-existent secret key: %s")
}

// add takes all keys, or the chosen ones under their paths.
func (p *payload) add(data map[string][]byte, items []corev1.KeyToPath, mode int32, optional bool, missing string) error {
	if len(items) == 0 {
		for k, v := range data {
			p.files[k] = file{data: v, mode: mode}
		}
		return nil
	}
	for _, item := range items {
		content, ok := data[item.Key]
		if !ok {
			if optional {
				continue
			}
			return fmt.Errorf(missing, item.Key)
		}
		f := file{data: content, mode: mode}
		if item.Mode != nil {
			f.mode = *item.Mode
		}
		p.files[item.Path] = f
	}
	return nil
}

func (p *payload) downward(items []corev1.DownwardAPIVolumeFile, mode int32) error {
	for i := range items {
		item := &items[i]
		text, err := p.m.field(p.pod, item, p.podIPs)
		if err != nil {
			return err
		}
		f := file{data: []byte(text), mode: mode}
		if item.Mode != nil {
			f.mode = *item.Mode
		}
		p.files[item.Path] = f
	}
	return nil
}

func (p *payload) projected(v *corev1.ProjectedVolumeSource) error {
	mode := mode(v.DefaultMode)
	for i := range v.Sources {
		var err error
		switch s := &v.Sources[i]; {
		case s.ConfigMap != nil:
			err = p.configMap(s.ConfigMap.Name, s.ConfigMap.Items, mode, s.ConfigMap.Optional)
		case s.Secret != nil:
			err = p.secret(s.Secret.Name, s.Secret.Items, mode, s.Secret.Optional)
		case s.DownwardAPI != nil:
			err = p.downward(s.DownwardAPI.Items, mode)
		case s.ServiceAccountToken != nil:
			err = p.token(s.ServiceAccountToken, mode)
		default:
			err = fmt.Errorf("projected source %d is of a kind that this node does not know", i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *payload) token(t *corev1.ServiceAccountTokenProjection, mode int32) error {
	text, good, err := p.m.token(p.ctx, p.pod, t)
	if err != nil {
		return err
	}
	f := file{data: []byte(text), mode: mode, user: fsUser(p.pod)}
	if f.user != nil || fsGroup(p.pod) != nil {
		f.mode = 0o600 // the group's bits come with its ownership
	}
	p.files[t.Path] = f
	if good > 0 && (p.good == 0 || good < p.good) {
		p.good = good
	}
	return nil
}

func isTrue(b *bool) bool { return b != nil && *b }
