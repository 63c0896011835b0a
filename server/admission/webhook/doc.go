// Package webhook asks programs outside of the server about writes: those that
// MutatingWebhookConfigurations and ValidatingWebhookConfigurations name.
//
//	hooks of the configurations, in the order of their names
//	  │ match     rules, selectors of namespace and object, match conditions (CEL)
//	  │ review    AdmissionReview of the object in the version that the rule names
//	  ▼ call      HTTPS to a URL, or to a pod of a service wherever its node is
//	answer: allowed, refused, or (mutating) a JSON patch
//
// Mutating hooks are called one after the other, each with what the ones before made
// of the object; then the plugins before them, and the hooks that ask for it, see
// once more what was changed (KEP-1027). Validating hooks are called all at
// once. What fails goes by the hook's failure policy.
//
// Matching and the texts that clients see are upstream's, from k8s.io/apiserver. Its
// own webhook plugin is not used, because it brings a gRPC client of an egress proxy
// and an exporter of traces along, some megabytes that every box would hold in
// memory.
package webhook
