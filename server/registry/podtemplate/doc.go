// Package podtemplate holds the rules of pod specs and pod templates, which
// pods and every workload kind share: defaults, dropping of fields behind
// disabled features, and validation.
//
// The rules are those of Kubernetes v1.37 with its default feature gates:
// features that are on by default are on, alpha features are off and their
// fields are dropped from what clients send, unless the stored object already
// uses them. The field paths and texts of errors are part of the API and equal
// upstream's.
//
// A kind with a template in it uses the package like this:
//
//	default:        podtemplate.DefaultTemplate(&d.Spec.Template)
//	prepare:        podtemplate.DropDisabledTemplate(&d.Spec.Template, oldTemplate)
//	validate:       podtemplate.ValidateTemplate(&d.Spec.Template, path, podtemplate.OptionsForTemplate(&d.Spec.Template, nil))
//	validateUpdate: podtemplate.ValidateTemplate(&d.Spec.Template, path, podtemplate.OptionsForTemplate(&d.Spec.Template, &old.Spec.Template))
//
// Kinds whose template is immutable (jobs) compare it with ValidateTemplateUpdate.
package podtemplate
