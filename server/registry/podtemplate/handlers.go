package podtemplate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// probe checks what all probes have in common.
func validateProbe(p *corev1.Probe, fld *field.Path) field.ErrorList {
	errs := validateHandler(handler{Exec: p.Exec, HTTPGet: p.HTTPGet, TCPSocket: p.TCPSocket, GRPC: p.GRPC}, nil, fld)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	} {
		errs = append(errs, Nonnegative(int64(f.value), fld.Child(f.name))...)
	}
	if s := p.TerminationGracePeriodSeconds; s != nil && *s <= 0 {
		errs = append(errs, field.Invalid(fld.Child("terminationGracePeriodSeconds"), *s, "must be greater than 0"))
	}
	return errs
}

// validateProbes checks a container's probes and hooks.
func validateProbes(c *corev1.Container, os *corev1.PodOS, grace *int64, fld *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.Lifecycle != nil {
		errs = append(errs, validateLifecycle(c.Lifecycle, grace, fld.Child("lifecycle"), os)...)
	}
	errs = append(errs, validateOnceProbe(c.LivenessProbe, fld.Child("livenessProbe"))...)
	if p := c.ReadinessProbe; p != nil {
		at := fld.Child("readinessProbe")
		errs = append(errs, validateProbe(p, at)...)
		if p.TerminationGracePeriodSeconds != nil {
			errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *p.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
		}
	}
	return append(errs, validateOnceProbe(c.StartupProbe, fld.Child("startupProbe"))...)
}

// validateOnceProbe checks a probe of which one success is enough.
func validateOnceProbe(p *corev1.Probe, fld *field.Path) field.ErrorList {
	if p == nil {
		return nil
	}
	errs := validateProbe(p, fld)
	if p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(fld.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	return errs
}

// handler is what a probe or a hook does.
type handler struct {
	Exec      *corev1.ExecAction
	HTTPGet   *corev1.HTTPGetAction
	TCPSocket *corev1.TCPSocketAction
	GRPC      *corev1.GRPCAction
	Sleep     *corev1.SleepAction
}

func validateHandler(h handler, grace *int64, fld *field.Path) field.ErrorList {
	c := &choice{fld: fld, what: "handler type"}
	if h.Exec != nil && c.first("exec") && len(h.Exec.Command) == 0 {
		c.add(field.ErrorList{field.Required(fld.Child("exec", "command"), "")})
	}
	if h.HTTPGet != nil && c.first("httpGet") {
		c.add(validateHTTPGet(h.HTTPGet, fld.Child("httpGet")))
	}
	if h.TCPSocket != nil && c.first("tcpSocket") {
		c.add(PortNumOrName(h.TCPSocket.Port, fld.Child("tcpSocket", "port")))
	}
	if h.GRPC != nil && c.first("grpc") {
		c.add(PortNumOrName(intstr.FromInt32(h.GRPC.Port), fld.Child("grpc", "port")))
		if h.GRPC.Mode != nil {
			c.add(OneOf(fld.Child("grpc", "mode"), *h.GRPC.Mode, corev1.GRPCProbeModePlaintext, corev1.GRPCProbeModeTLS))
		}
	}
	if h.Sleep != nil && c.first("sleep") && grace != nil && (h.Sleep.Seconds < 0 || h.Sleep.Seconds > *grace) {
		c.add(field.ErrorList{field.Invalid(fld.Child("sleep"), h.Sleep.Seconds,
			fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *grace))})
	}
	if c.n == 0 {
		c.add(field.ErrorList{field.Required(fld, "must specify a handler type")})
	}
	return c.errs
}

func validateHTTPGet(get *corev1.HTTPGetAction, fld *field.Path) field.ErrorList {
	errs := required(fld.Child("path"), get.Path)
	errs = append(errs, PortNumOrName(get.Port, fld.Child("port"))...)
	errs = append(errs, OneOf(fld.Child("scheme"), get.Scheme, corev1.URISchemeHTTP, corev1.URISchemeHTTPS)...)
	for _, h := range get.HTTPHeaders {
		errs = append(errs, invalids(fld.Child("httpHeaders"), h.Name, validation.IsHTTPHeaderName(h.Name))...)
	}
	if get.Protocol == nil {
		return errs
	}
	found := OneOf(fld.Child("protocol"), *get.Protocol, corev1.HTTPProtocolHTTP1, corev1.HTTPProtocolHTTP2)
	errs = append(errs, found...)
	if len(found) > 0 || *get.Protocol != corev1.HTTPProtocolHTTP2 {
		return errs
	}
	if get.Scheme != corev1.URISchemeHTTP {
		errs = append(errs, field.Invalid(fld.Child("protocol"), *get.Protocol, "is only supported with HTTP (H2C)"))
	} else if get.Host != "" {
		errs = append(errs, field.Invalid(fld.Child("host"), get.Host, "must be empty when `protocol` is \"HTTP2\""))
	}
	return errs
}

func validateLifecycle(l *corev1.Lifecycle, grace *int64, fld *field.Path, os *corev1.PodOS) field.ErrorList {
	var errs field.ErrorList
	hook := func(h *corev1.LifecycleHandler, name string) {
		if h != nil {
			errs = append(errs, validateHandler(handler{Exec: h.Exec, HTTPGet: h.HTTPGet, TCPSocket: h.TCPSocket, Sleep: h.Sleep}, grace, fld.Child(name))...)
		}
	}
	hook(l.PostStart, "postStart")
	hook(l.PreStop, "preStop")
	if l.StopSignal != nil {
		errs = append(errs, validateStopSignal(*l.StopSignal, fld.Child("stopSignal"), os)...)
	}
	return errs
}

func validateStopSignal(s corev1.Signal, fld *field.Path, os *corev1.PodOS) field.ErrorList {
	switch {
	case os == nil:
		return field.ErrorList{field.Forbidden(fld, "may not be set for containers with empty `spec.os.name`")}
	case os.Name == corev1.Windows:
		return OneOf(fld, s, corev1.SIGKILL, corev1.SIGTERM)
	case os.Name == corev1.Linux:
		return OneOf(fld, s, linuxSignals...)
	default:
		return nil
	}
}

var linuxSignals = func() []corev1.Signal {
	var all []corev1.Signal
	for _, name := range strings.Fields("ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT " +
		"STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX") {
		all = append(all, corev1.Signal("SIG"+name))
	}
	for i := range 15 {
		all = append(all, corev1.Signal("SIGRTMIN+"+strconv.Itoa(i+1)))
	}
	for i := range 14 {
		all = append(all, corev1.Signal("SIGRTMAX-"+strconv.Itoa(i+1)))
	}
	slices.Sort(all)
	return all
}()
