package core

import (
	"context"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"skiff/server/registry"
	"skiff/server/registry/table"
)

// maxDataSize bounds the data of a config map or secret in bytes.
const maxDataSize = 1024 * 1024

const immutableWhenSet = "field is immutable when `immutable` is set"

func configMaps() *registry.Resource {
	r := resourceOf[corev1.ConfigMap, corev1.ConfigMapList]("configmaps", "ConfigMap", "cm")
	r.Rules.Default = registry.Default(func(c *corev1.ConfigMap) {
		if c.Data == nil {
			c.Data = map[string]string{}
		}
	})
	r.Rules.Validate = registry.Validate(func(_ context.Context, c *corev1.ConfigMap) field.ErrorList {
		return validateConfigMap(c)
	})
	r.Rules.ValidateUpdate = registry.ValidateUpdate(func(_ context.Context, c, old *corev1.ConfigMap) field.ErrorList {
		var errs field.ErrorList
		if isTrue(old.Immutable) {
			errs = append(errs, stillImmutable(c.Immutable)...)
			if !reflect.DeepEqual(c.Data, old.Data) {
				errs = append(errs, field.Forbidden(path("data"), immutableWhenSet))
			}
			if !reflect.DeepEqual(c.BinaryData, old.BinaryData) {
				errs = append(errs, field.Forbidden(path("binaryData"), immutableWhenSet))
			}
		}
		return append(errs, validateConfigMap(c)...)
	})
	r.Columns = []table.Column{table.Name(), table.String("Data", table.Doc(corev1.ConfigMap{}, "data")), table.Age()}
	r.Cells = registry.Cells(func(c *corev1.ConfigMap) []any {
		return []any{c.Name, int64(len(c.Data) + len(c.BinaryData)), table.Since(c.CreationTimestamp)}
	})
	return r
}

func stillImmutable(immutable *bool) field.ErrorList {
	if isTrue(immutable) {
		return nil
	}
	return field.ErrorList{field.Forbidden(path("immutable"), immutableWhenSet)}
}

func validateConfigMap(c *corev1.ConfigMap) field.ErrorList {
	var errs field.ErrorList
	size := 0
	for _, key := range slices.Sorted(maps.Keys(c.Data)) {
		at := path("data").Key(key)
		errs = append(errs, dataKey(key, at)...)
		if _, ok := c.BinaryData[key]; ok {
			errs = append(errs, field.Invalid(at, key, "duplicate of key present in binaryData"))
		}
		size += len(c.Data[key])
	}
	for _, key := range slices.Sorted(maps.Keys(c.BinaryData)) {
		errs = append(errs, dataKey(key, path("binaryData").Key(key))...)
		size += len(c.BinaryData[key])
	}
	if size > maxDataSize {
		errs = append(errs, field.TooLong(path(""), "", maxDataSize))
	}
	return errs
}

func dataKey(key string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range validation.IsConfigMapKey(key) {
		errs = append(errs, field.Invalid(fld, key, msg))
	}
	return errs
}
