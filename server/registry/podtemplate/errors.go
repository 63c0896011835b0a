package podtemplate

import (
	"cmp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// invalids is an Invalid error about value at fld for each message.
func invalids(fld *field.Path, value any, msgs []string) field.ErrorList {
	var errs field.ErrorList
	for _, msg := range msgs {
		errs = append(errs, field.Invalid(fld, value, msg))
	}
	return errs
}

// required is a Required error at fld if value is empty.
func required[T ~string](fld *field.Path, value T) field.ErrorList {
	if value != "" {
		return nil
	}
	return field.ErrorList{field.Required(fld, "")}
}

// OneOf is a NotSupported error at fld if value is none of supported, which the
// message lists in sorted order.
func OneOf[T ~string](fld *field.Path, value T, supported ...T) field.ErrorList {
	if slices.Contains(supported, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(fld, value, slices.SortedFunc(slices.Values(supported), cmp.Compare[T]))}
}

// oneOfInOrder is like OneOf, with the supported values listed as they are
// given.
func oneOfInOrder[T ~string](fld *field.Path, value T, supported ...T) field.ErrorList {
	if slices.Contains(supported, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(fld, value, supported)}
}

// requiredOneOf is oneOfInOrder for a field that has to be set.
func requiredOneOf[T ~string](fld *field.Path, value T, supported ...T) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(fld, "")}
	}
	return oneOfInOrder(fld, value, supported...)
}

// Nonnegative checks that a number is not below zero.
func Nonnegative(value int64, fld *field.Path) field.ErrorList {
	return apivalidation.ValidateNonnegativeField(value, fld)
}

// Positive checks that a number is above zero.
func Positive(value int64, fld *field.Path) field.ErrorList {
	if value > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, value, notPositive).WithOrigin("minimum")}
}

const (
	notPositive = "must be greater than zero"
	notInteger  = "must be an integer"
)

// NonnegativeQuantity checks that a quantity is not below zero.
func NonnegativeQuantity(value resource.Quantity, fld *field.Path) field.ErrorList {
	if value.Sign() >= 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, value.String(), apivalidation.IsNegativeErrorMsg)}
}

// PositiveQuantity checks that a quantity is above zero.
func PositiveQuantity(value resource.Quantity, fld *field.Path) field.ErrorList {
	if value.Sign() > 0 {
		return nil
	}
	return field.ErrorList{field.Invalid(fld, value.String(), notPositive)}
}

// PortNumOrName checks a port that is given by number or by the name of a
// container's port.
func PortNumOrName(port intstr.IntOrString, fld *field.Path) field.ErrorList {
	switch port.Type {
	case intstr.Int:
		return invalids(fld, port.IntValue(), validation.IsValidPortNum(port.IntValue()))
	case intstr.String:
		return invalids(fld, port.StrVal, validation.IsValidPortName(port.StrVal))
	default:
		return field.ErrorList{field.InternalError(fld, errUnknownIntOrString(port.Type))}
	}
}

type errUnknownIntOrString intstr.Type

func (e errUnknownIntOrString) Error() string {
	return "unknown type: " + strconv.FormatInt(int64(e), 10)
}

// LegacyIP checks an address in a field that once took sloppy ones (leading
// zeros); those in old may stay.
func LegacyIP(fld *field.Path, value string, old []string) field.ErrorList {
	return validation.IsValidIPForLegacyField(fld, value, true, old)
}

// LegacyCIDR is LegacyIP for address blocks.
func LegacyCIDR(fld *field.Path, value string, old []string) field.ErrorList {
	return validation.IsValidCIDRForLegacyField(fld, value, true, old)
}

// choice watches over a set of fields of which exactly one may be set.
type choice struct {
	fld  *field.Path
	what string
	n    int
	errs field.ErrorList
}

// first counts a set field, and tells whether it is the first one; if it is not,
// that is an error at name.
func (c *choice) first(name string) bool {
	c.n++
	if c.n == 1 {
		return true
	}
	c.errs = append(c.errs, field.Forbidden(c.fld.Child(name), "may not specify more than 1 "+c.what))
	return false
}

func (c *choice) add(errs field.ErrorList) { c.errs = append(c.errs, errs...) }
