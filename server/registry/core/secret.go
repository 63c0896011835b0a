package core

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/check"
	"skiff/server/registry/table"
)

func secrets() *registry.Resource {
	r := resourceOf[corev1.Secret, corev1.SecretList]("secrets", "Secret")
	r.Rules.Default = registry.Default(defaultSecret)
	r.Rules.Validate = registry.Validate(func(_ context.Context, s *corev1.Secret) field.ErrorList {
		return validateSecret(s)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, s, old *corev1.Secret) field.ErrorList {
		errs := check.Immutable(s.Type, old.Type, path("type"))
		if isTrue(old.Immutable) {
			errs = append(errs, stillImmutable(s.Immutable)...)
			if !reflect.DeepEqual(s.Data, old.Data) {
				errs = append(errs, field.Forbidden(path("data"), immutableWhenSet))
			}
		}
		return append(errs, validateSecret(s)...)
	})
	r.Rules.Warnings = func(_ context.Context, obj, _ registry.Object) []string {
		s := obj.(*corev1.Secret)
		if s.Type != corev1.SecretTypeTLS {
			return nil
		}
		if _, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey]); err != nil {
			return []string{err.Error()}
		}
		return nil
	}
	r.FieldNames = []string{"type"}
	r.WireFields = r.FieldNames
	r.Fields = func(obj registry.Object) fields.Set {
		return fields.Set{"type": string(obj.(*corev1.Secret).Type)}
	}
	r.Columns = []table.Column{
		table.Name(),
		table.String("Type", table.Doc(corev1.Secret{}, "type")),
		table.String("Data", table.Doc(corev1.Secret{}, "data")),
		table.Age(),
	}
	r.Cells = registry.Cells(func(s *corev1.Secret) []any {
		return []any{s.Name, string(s.Type), int64(len(s.Data)), table.Since(s.CreationTimestamp)}
	})
	return r
}

// defaultSecret also moves stringData, which is only ever written, into data.
func defaultSecret(s *corev1.Secret) {
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
	if len(s.StringData) == 0 {
		return
	}
	if s.Data == nil {
		s.Data = make(map[string][]byte, len(s.StringData))
	}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	s.StringData = nil
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	var errs field.ErrorList
	data := path("data")
	size := 0
	for _, key := range slices.Sorted(maps.Keys(s.Data)) {
		errs = append(errs, dataKey(key, data.Key(key))...)
		size += len(s.Data[key])
	}
	if size > maxDataSize {
		errs = append(errs, field.TooLong(data, "", maxDataSize))
	}
	return append(errs, validateSecretType(s, data)...)
}

// validateSecretType checks that a secret has the keys that its type promises.
func validateSecretType(s *corev1.Secret, data *field.Path) field.ErrorList {
	missing := func(keys ...string) field.ErrorList {
		var errs field.ErrorList
		for _, key := range keys {
			if _, ok := s.Data[key]; !ok {
				errs = append(errs, field.Required(data.Key(key), ""))
			}
		}
		return errs
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			return field.ErrorList{field.Required(path("metadata", "annotations").Key(corev1.ServiceAccountNameKey), "")}
		}
	case corev1.SecretTypeDockercfg:
		return jsonKey(s, corev1.DockerConfigKey, data)
	case corev1.SecretTypeDockerConfigJson:
		return jsonKey(s, corev1.DockerConfigJsonKey, data)
	case corev1.SecretTypeBasicAuth:
		if errs := missing(corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey); len(errs) == 2 {
			return errs
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			return field.ErrorList{field.Required(data.Key(corev1.SSHAuthPrivateKey), "")}
		}
	case corev1.SecretTypeTLS:
		return missing(corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return nil
}

func jsonKey(s *corev1.Secret, key string, data *field.Path) field.ErrorList {
	value, ok := s.Data[key]
	if !ok {
		return field.ErrorList{field.Required(data.Key(key), "")}
	}
	if err := json.Unmarshal(value, &map[string]any{}); err != nil {
		return field.ErrorList{field.Invalid(data.Key(key), "<secret contents redacted>", err.Error())}
	}
	return nil
}
