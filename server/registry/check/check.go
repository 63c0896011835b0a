// Package check holds the small validations that several API groups share. Their
// messages are part of the API.
package check

import (
	"strconv"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"skiff/server/registry/untagged"
)

// Integer is what counts are held in.
type Integer interface{ ~int32 | ~int64 }

// NonNegative checks a count.
func NonNegative[T Integer](n T, fld *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(int64(n), fld)
}

// NonNegativePtr checks an optional count.
func NonNegativePtr[T Integer](n *T, fld *field.Path) field.ErrorList {
	if n == nil {
		return nil
	}
	return NonNegative(*n, fld)
}

// Immutable checks that a value did not change. A struct of the API is shown as
// clients know it.
func Immutable(v, old any, fld *field.Path) field.ErrorList {
	if apiequality.Semantic.DeepEqual(old, v) {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, untagged.Value(v), apivalidation.FieldImmutableErrorMsg)}
}

// OneOf checks a value against the supported ones; an empty one is missing.
func OneOf[T ~string](v T, supported []T, fld *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	return Supported(v, supported, fld)
}

// Supported checks a value against the supported ones.
func Supported[T ~string](v T, supported []T, fld *field.Path) field.ErrorList {
	for _, s := range supported {
		if v == s {
			return nil
		}
	}
	return field.ErrorList{field.NotSupported(fld, v, supported)}
}

// Messages makes errors of what a validation of a string has to say about it.
func Messages(value string, messages []string, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range messages {
		errs = append(errs, field.Invalid(fld, value, msg))
	}
	return errs
}

// CountOrPercent checks a number of pods that is given as a count or as a
// percentage; nil counts as 0.
func CountOrPercent(v *intstr.IntOrString, fld *field.Path) field.ErrorList {
	if v == nil {
		return nil
	}
	switch v.Type {
	case intstr.String:
		var errs field.ErrorList
		for _, msg := range utilvalidation.IsValidPercent(v.StrVal) {
			errs = append(errs, field.Invalid(fld, v, msg))
		}
		return errs
	case intstr.Int:
		return apivalidation.ValidateNonnegativeField(int64(v.IntValue()), fld)
	default:
		return field.ErrorList{field.Invalid(fld, v, "must be an integer or percentage (e.g '5%%')")}
	}
}

// percent returns the number of a percentage, and whether v is one.
func percent(v *intstr.IntOrString) (int, bool) {
	if v == nil || v.Type != intstr.String || len(utilvalidation.IsValidPercent(v.StrVal)) != 0 {
		return 0, false
	}
	n, err := strconv.Atoi(v.StrVal[:len(v.StrVal)-1])
	return n, err == nil
}

// Amount returns v's count or percentage: what matters is whether it is 0.
func Amount(v *intstr.IntOrString) int {
	if n, ok := percent(v); ok {
		return n
	}
	if v == nil {
		return 0
	}
	return v.IntValue()
}

// AtMostAll checks that a percentage is not above 100.
func AtMostAll(v *intstr.IntOrString, fld *field.Path) field.ErrorList {
	if n, ok := percent(v); ok && n > 100 {
		return field.ErrorList{field.Invalid(fld, v, "must not be greater than 100%")}
	}
	return nil
}

// EndpointIP checks that an address can be an endpoint: traffic to it leaves the
// host that sends it.
func EndpointIP(address string, fld *field.Path) field.ErrorList {
	ip := netutils.ParseIPSloppy(address)
	if ip == nil {
		return field.ErrorList{field.Invalid(fld, address, "must be a valid IP address")}
	}
	var errs field.ErrorList
	for _, c := range []struct {
		is  bool
		msg string
	}{
		{ip.IsUnspecified(), "may not be unspecified (" + address + ")"},
		{ip.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"},
		{ip.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)"},
		{ip.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"},
	} {
		if c.is {
			errs = append(errs, field.Invalid(fld, address, c.msg))
		}
	}
	return errs
}

// StandardFinalizer checks that a finalizer without a domain is one of Kubernetes'
// own.
func StandardFinalizer(value string, fld *field.Path) field.ErrorList {
	if strings.Contains(value, "/") {
		return nil
	}
	switch value {
	case "kubernetes", "orphan", "foregroundDeletion":
		return nil
	}
	return field.ErrorList{field.Invalid(fld, value, "name is neither a standard finalizer name nor is it fully qualified")}
}
