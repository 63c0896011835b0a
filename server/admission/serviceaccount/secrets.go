package serviceaccount

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"skiff/server/admission/podrefs"
)

// limitSecrets refuses secrets that the service account does not list. For an update of
// ephemeral containers only those are looked at.
func limitSecrets(sa *corev1.ServiceAccount, s *corev1.PodSpec, ephemeral bool) error {
	mountable := map[string]bool{}
	for _, r := range sa.Secrets {
		mountable[r.Name] = true
	}
	if !ephemeral {
		for _, v := range s.Volumes {
			if v.Secret != nil && !mountable[v.Secret.SecretName] {
				return fmt.Errorf("volume with secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret", v.Secret.SecretName, sa.Name)
			}
		}
	}
	for _, e := range podrefs.Envs(s) {
		if (e.Kind == "ephemeral container") != ephemeral {
			continue
		}
		if err := limitEnv(sa.Name, mountable, e); err != nil {
			return err
		}
	}
	if ephemeral {
		return nil
	}
	pull := map[string]bool{}
	for _, r := range sa.ImagePullSecrets {
		pull[r.Name] = true
	}
	for i, r := range s.ImagePullSecrets {
		if !pull[r.Name] {
			return fmt.Errorf("imagePullSecrets[%d].name=\"%s\" is not allowed because service account %s does not reference that imagePullSecret", i, r.Name, sa.Name)
		}
	}
	return nil
}

func limitEnv(account string, mountable map[string]bool, e podrefs.Env) error {
	for _, v := range e.Vars {
		if v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil {
			continue
		}
		if name := v.ValueFrom.SecretKeyRef.Name; !mountable[name] {
			return fmt.Errorf("%s %s with envVar %s referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret", e.Kind, e.Name, v.Name, name, account)
		}
	}
	for _, f := range e.From {
		if f.SecretRef != nil && !mountable[f.SecretRef.Name] {
			return fmt.Errorf("%s %s with envFrom referencing secret.secretName=\"%s\" is not allowed because service account %s does not reference that secret", e.Kind, e.Name, f.SecretRef.Name, account)
		}
	}
	return nil
}
