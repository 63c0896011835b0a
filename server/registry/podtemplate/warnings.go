package podtemplate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// oldNodeLabels are node labels that have been replaced, with what is said of them.
var oldNodeLabels = map[string]string{
	"beta.kubernetes.io/arch":                       `deprecated since v1.14; use "kubernetes.io/arch" instead`,
	"beta.kubernetes.io/os":                         `deprecated since v1.14; use "kubernetes.io/os" instead`,
	"failure-domain.beta.kubernetes.io/region":      `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
	"failure-domain.beta.kubernetes.io/zone":        `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
	"beta.kubernetes.io/instance-type":              `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
	"app.kubernetes.io/created-by":                  `deprecated since v1.9`,
	"scheduler.alpha.kubernetes.io/preferAvoidPods": `deprecated since v1.22; use Taints and Tolerations instead`,
	"node-role.kubernetes.io/master":                `use "node-role.kubernetes.io/control-plane" instead`,
}

// warnings collects texts for Warning headers.
type warnings struct{ texts []string }

func (w *warnings) add(fld *field.Path, format string, args ...any) {
	w.texts = append(w.texts, fmt.Sprintf("%s: %s", fld, fmt.Sprintf(format, args...)))
}

// Warnings tells what in a pod spec is legal but most likely not meant, for Warning
// headers. fld is the path of the template that the spec is in, nil for a pod.
func Warnings(spec *corev1.PodSpec, annotations map[string]string, fld *field.Path) []string {
	w := &warnings{}
	at := fld.Child("spec")
	w.nodes(spec, at)
	for _, old := range []struct{ key, text string }{
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
	} {
		if _, ok := annotations[old.key]; ok {
			w.add(fld.Child("metadata", "annotations").Key(old.key), "%s", old.text)
		}
	}
	for i := range spec.Volumes {
		w.volume(&spec.Volumes[i], at.Child("volumes").Index(i))
	}
	for i := range spec.Volumes {
		w.overlaps(&spec.Volumes[i])
	}
	w.lists(spec, at)
	w.profiles(spec, annotations, fld)
	for c, path := range containersAt(spec, at) {
		w.container(c, path)
	}
	w.ports(spec, at)
	if s := spec.TerminationGracePeriodSeconds; s != nil && *s < 0 {
		w.add(at.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	w.affinity(spec.Affinity, at.Child("affinity"))
	if spec.DNSConfig != nil {
		for i, ip := range spec.DNSConfig.Nameservers {
			w.texts = append(w.texts, validation.GetWarningsForIP(at.Child("dnsConfig", "nameservers").Index(i), ip)...)
		}
	}
	for i, alias := range spec.HostAliases {
		w.texts = append(w.texts, validation.GetWarningsForIP(at.Child("hostAliases").Index(i).Child("ip"), alias.IP)...)
	}
	return w.texts
}

// TemplateWarnings are Warnings about a pod template at fld.
func TemplateWarnings(t *corev1.PodTemplateSpec, fld *field.Path) []string {
	return Warnings(&t.Spec, t.Annotations, fld)
}

// NameWarnings warn of a workload's name that makes bad names and host names of
// its pods.
func NameWarnings(name string) []string {
	msgs := validation.IsDNS1123Label(name)
	if len(msgs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", msgs)}
}

// WorkloadWarnings are NameWarnings about a new workload (old is nil), and
// TemplateWarnings about its template at fld unless its generation is the old one.
func WorkloadWarnings(obj, old metav1.Object, t *corev1.PodTemplateSpec, fld *field.Path) []string {
	if old == nil {
		return append(NameWarnings(obj.GetName()), TemplateWarnings(t, fld)...)
	}
	if obj.GetGeneration() == old.GetGeneration() {
		return nil
	}
	return TemplateWarnings(t, fld)
}

// NodeTermWarnings are those about a choice of nodes by old labels. values tells
// that label values are looked at too.
func NodeTermWarnings(t *corev1.NodeSelectorTerm, values bool, fld *field.Path) []string {
	w := &warnings{}
	for i, e := range t.MatchExpressions {
		at := fld.Child("matchExpressions").Index(i)
		if text, ok := oldNodeLabels[e.Key]; ok {
			w.add(at.Child("key"), "%s is %s", e.Key, text)
		}
		if !values {
			continue
		}
		for j, value := range e.Values {
			for _, msg := range validation.IsValidLabelValue(value) {
				w.add(at.Child("values").Index(j), "%s is invalid, %s", value, msg)
			}
		}
	}
	return w.texts
}

func (w *warnings) nodes(spec *corev1.PodSpec, fld *field.Path) {
	for _, key := range slices.Sorted(maps.Keys(spec.NodeSelector)) {
		if text, ok := oldNodeLabels[key]; ok {
			w.add(fld.Child("nodeSelector").Key(key), "%s", text)
		}
	}
	if spec.Affinity != nil && spec.Affinity.NodeAffinity != nil {
		n, at := spec.Affinity.NodeAffinity, fld.Child("affinity", "nodeAffinity")
		if required := n.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			for i := range required.NodeSelectorTerms {
				w.texts = append(w.texts, NodeTermWarnings(&required.NodeSelectorTerms[i], false,
					at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i))...)
			}
		}
		for i := range n.PreferredDuringSchedulingIgnoredDuringExecution {
			w.texts = append(w.texts, NodeTermWarnings(&n.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference, true,
				at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))...)
		}
	}
	for i, c := range spec.TopologySpreadConstraints {
		at := fld.Child("topologySpreadConstraints").Index(i)
		if text, ok := oldNodeLabels[c.TopologyKey]; ok {
			w.add(at.Child("topologyKey"), "%s is %s", c.TopologyKey, text)
		}
		if c.LabelSelector == nil {
			w.add(at.Child("labelSelector"), nullSelector)
		}
	}
}

const nullSelector = "a null labelSelector results in matching no pod"

func (w *warnings) affinity(a *corev1.Affinity, fld *field.Path) {
	if a == nil {
		return
	}
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at *field.Path) {
		for i := range required {
			if required[i].LabelSelector == nil {
				w.add(at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i).Child("labelSelector"), nullSelector)
			}
		}
		for i := range preferred {
			if preferred[i].PodAffinityTerm.LabelSelector == nil {
				w.add(at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm", "labelSelector"), nullSelector)
			}
		}
	}
	if p := a.PodAffinity; p != nil {
		terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, fld.Child("podAffinity"))
	}
	if p := a.PodAntiAffinity; p != nil {
		terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, fld.Child("podAntiAffinity"))
	}
}

// lists warns about what clients merge by a key that is not unique.
func (w *warnings) lists(spec *corev1.PodSpec, fld *field.Path) {
	ips := sets.New[string]()
	for i, alias := range spec.HostAliases {
		if ips.Has(alias.IP) {
			w.add(fld.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", alias.IP)
		}
		ips.Insert(alias.IP)
	}
	names := sets.New[string]()
	for i, secret := range spec.ImagePullSecrets {
		if names.Has(secret.Name) {
			w.add(fld.Child("imagePullSecrets").Index(i).Child("name"), "duplicate name %q", secret.Name)
		}
		names.Insert(secret.Name)
	}
	for i, secret := range spec.ImagePullSecrets {
		if secret.Name == "" {
			w.add(fld.Child("imagePullSecrets").Index(i).Child("name"), "invalid empty name %q", secret.Name)
		}
	}
	w.fractions(spec.Overhead, fld.Child("overhead"))
}

func (w *warnings) fractions(list corev1.ResourceList, fld *field.Path) {
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if value, ok := list[name]; ok && value.MilliValue()%1000 != 0 {
			w.add(fld.Key(string(name)), "fractional byte value %q is invalid, must be an integer", value.String())
		}
	}
}

func (w *warnings) profiles(spec *corev1.PodSpec, annotations map[string]string, fld *field.Path) {
	const gone = `non-functional in v1.27+; use the "seccompProfile" field instead`
	at := fld.Child("metadata", "annotations")
	var whole *corev1.AppArmorProfile
	if spec.SecurityContext != nil {
		whole = spec.SecurityContext.AppArmorProfile
	}
	if _, ok := annotations[seccompPodKey]; ok && (spec.SecurityContext == nil || spec.SecurityContext.SeccompProfile == nil) {
		w.add(at.Key(seccompPodKey), gone)
	}
	for c := range Containers(spec) {
		sc := c.SecurityContext
		if sc == nil {
			sc = &corev1.SecurityContext{}
		}
		if key := seccompContainerKey + c.Name; sc.SeccompProfile == nil && annotations[key] != "" {
			w.add(at.Key(key), gone)
		}
		// Of pods, the field is filled in with a warning of its own.
		key := appArmorContainerKey + c.Name
		value, ok := annotations[key]
		if fld == nil || !ok || sc.AppArmorProfile != nil {
			continue
		}
		if p := annotatedAppArmor(value); whole == nil || p == nil || p.Type != whole.Type || !samePointer(p.LocalhostProfile, whole.LocalhostProfile) {
			w.add(at.Key(key), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	}
}

func samePointer[T comparable](a, b *T) bool {
	return a == nil && b == nil || a != nil && b != nil && *a == *b
}

func (w *warnings) container(c *corev1.Container, fld *field.Path) {
	w.fractions(c.Resources.Limits, fld.Child("resources", "limits"))
	w.fractions(c.Resources.Requests, fld.Child("resources", "requests"))
	names := sets.New[string]()
	for i, v := range c.Env {
		if !names.Has(v.Name) {
			names.Insert(v.Name)
			continue
		}
		// It is meant if the new value builds on the old one.
		ref := "$(" + v.Name + ")"
		if v.ValueFrom != nil || v.Value == ref || !strings.Contains(v.Value, ref) {
			w.add(fld.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", v.Name)
		}
	}
}

func (w *warnings) ports(spec *corev1.PodSpec, fld *field.Path) {
	type seen struct {
		at   *field.Path
		port corev1.ContainerPort
	}
	before, names := map[string][]seen{}, map[string]*field.Path{}
	for c, path := range containersAt(spec, fld) {
		for i, p := range c.Ports {
			at := path.Child("ports").Index(i)
			if p.HostIP != "" && p.HostPort == 0 {
				w.add(at, "hostIP set without hostPort: %+v", p)
			}
			key := fmt.Sprintf("%d/%s", p.ContainerPort, p.Protocol)
			for _, other := range before[key] {
				switch o := other.port; {
				case p.HostIP == o.HostIP && p.HostPort == o.HostPort:
					w.add(at, "duplicate port definition with %s", other.at)
				case p.HostPort == 0 || o.HostPort == 0:
					w.add(at, "overlapping port definition with %s", other.at)
				case p.HostPort == o.HostPort && (p.HostIP == "") != (o.HostIP == ""):
					w.add(at, "dangerously ambiguous port definition with %s", other.at)
				}
			}
			before[key] = append(before[key], seen{at, p})
		}
	}
	for c, path := range containersAt(spec, fld) {
		for i, p := range c.Ports {
			at := path.Child("ports").Index(i)
			if p.Name == "" {
				continue
			}
			if other, ok := names[p.Name]; ok {
				w.add(at, "duplicate port name %q with %s, services and probes that select ports by name will use %s", p.Name, other, other)
			} else {
				names[p.Name] = at
			}
		}
	}
}
