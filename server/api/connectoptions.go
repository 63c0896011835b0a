package api

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"skiff/server/registry"
)

// connectOptions makes the options that admission sees of a connection (a
// PodExecOptions): of the query's values, and of the path below the subresource.
func connectOptions(query url.Values, path string, sub *registry.Subresource) (runtime.Object, error) {
	obj := sub.New()
	fields := reflect.ValueOf(obj).Elem()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("json"), ",")
		values, ok := query[name]
		switch {
		case name == "path":
			fields.Field(i).SetString("/" + path)
		case name != "" && ok && len(values) > 0:
			if err := setOption(fields.Field(i), values); err != nil {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("%s: %v", name, err))
			}
		}
	}
	obj.GetObjectKind().SetGroupVersionKind(sub.Kind)
	return obj, nil
}

// setOption sets a field of one of the types that options have.
func setOption(field reflect.Value, values []string) error {
	switch to := field.Addr().Interface().(type) {
	case *string:
		*to = values[0]
	case *bool:
		*to = values[0] != "false" && values[0] != "0"
	case *[]string:
		*to = values
	case *[]int32:
		for _, v := range values {
			for text := range strings.SplitSeq(v, ",") {
				n, err := strconv.ParseInt(text, 10, 32)
				if err != nil {
					return fmt.Errorf("%q is not a number", text)
				}
				*to = append(*to, int32(n))
			}
		}
	default:
		return fmt.Errorf("options of type %s are not known", field.Type())
	}
	return nil
}
