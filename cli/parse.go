package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"skiff/proxy/overlay"
	"skiff/server"
)

// parser reads typed values out of a command's flags and collects what is wrong
// with them, so that a user sees all mistakes at once.
type parser struct {
	*cli.Context
	errs []error
}

func (p *parser) badf(flag, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(flag+": "+format, args...))
}

// err returns all mistakes as one usage error.
func (p *parser) err() error {
	if err := errors.Join(p.errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// list is the flag's values without empty ones: an empty variable is no value.
func (p *parser) list(flag string) []string {
	return slices.DeleteFunc(p.StringSlice(flag), func(s string) bool { return s == "" })
}

// addr is the flag's address, the zero Addr if it was left empty.
func (p *parser) addr(flag string) netip.Addr {
	if s := p.String(flag); s != "" {
		a, _ := p.parseAddr(flag, s)
		return a
	}
	return netip.Addr{}
}

func (p *parser) parseAddr(flag, s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		p.badf(flag, "%q is not an IP address", s)
	}
	return a.Unmap(), err == nil
}

func (p *parser) addrs(flag string) (list []netip.Addr) {
	for _, s := range p.list(flag) {
		if a, ok := p.parseAddr(flag, s); ok {
			list = append(list, a)
		}
	}
	return list
}

func (p *parser) prefixes(flag string) (list []netip.Prefix) {
	for _, s := range p.list(flag) {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			p.badf(flag, "%q is not an address range like 10.42.0.0/16", s)
			continue
		}
		list = append(list, prefix)
	}
	return list
}

func (p *parser) port(flag string) int {
	s := p.String(flag)
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		p.badf(flag, "%q is not a port, use 1 to 65535", s)
	}
	return int(n)
}

func (p *parser) duration(flag string) time.Duration {
	s := p.String(flag)
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		p.badf(flag, "%q is no time, write one like 40s or 2m", s)
	}
	return d
}

// seconds is a whole number of them.
func (p *parser) seconds(flag string) *int64 {
	s := p.String(flag)
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		p.badf(flag, "%q is no number of seconds, write one like 300", s)
	}
	return &n
}

// log checks the flags that setUpLog reads.
func (p *parser) log() {
	if _, err := logLevel(p.String("log-level")); err != nil {
		p.badf("log-level", "%w", err)
	}
	if _, err := logHandler(p.String("log-format")); err != nil {
		p.badf("log-format", "%w", err)
	}
}

func (p *parser) node() server.NodeConfig {
	return server.NodeConfig{
		ContainerRuntimeEndpoint: p.String("container-runtime-endpoint"),
		MTU:                      p.mtu(),
		Labels:                   p.labels("node-label"),
		Taints:                   p.taints("node-taint"),
	}
}

// mtu is 0 for what fits. Whether one fits is known where the node is.
func (p *parser) mtu() int {
	text := p.String("mtu")
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < overlay.LeastMTU || n > 65535 {
		p.badf("mtu", "%q is no size of packets, use %d to 65535, or leave it out", text, overlay.LeastMTU)
	}
	return n
}

func (p *parser) labels(flag string) map[string]string {
	labels := map[string]string{}
	for _, s := range p.list(flag) {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			p.badf(flag, "%q has no =, write KEY=VALUE", s)
			continue
		}
		if msgs := validation.IsQualifiedName(key); len(msgs) > 0 {
			p.badf(flag, "%q is not a label key: %s", key, msgs[0])
		}
		if msgs := validation.IsValidLabelValue(value); len(msgs) > 0 {
			p.badf(flag, "%q is not a label value: %s", value, msgs[0])
		}
		labels[key] = value
	}
	return labels
}

func (p *parser) taints(flag string) (taints []corev1.Taint) {
	for _, s := range p.list(flag) {
		t, err := parseTaint(s)
		if err != nil {
			p.badf(flag, "%w", err)
			continue
		}
		taints = append(taints, t)
	}
	return taints
}

// parseTaint reads KEY=VALUE:EFFECT or KEY:EFFECT.
func parseTaint(s string) (corev1.Taint, error) {
	keyValue, effect, ok := strings.Cut(s, ":")
	if !ok {
		return corev1.Taint{}, fmt.Errorf("%q has no effect, write KEY=VALUE:EFFECT", s)
	}
	key, value, _ := strings.Cut(keyValue, "=")
	t := corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}
	if msgs := validation.IsQualifiedName(key); len(msgs) > 0 {
		return t, fmt.Errorf("%q is not a taint key: %s", key, msgs[0])
	}
	if msgs := validation.IsValidLabelValue(value); len(msgs) > 0 {
		return t, fmt.Errorf("%q is not a taint value: %s", value, msgs[0])
	}
	switch t.Effect {
	case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		return t, nil
	default:
		return t, fmt.Errorf("%q is not a taint effect, use NoSchedule, PreferNoSchedule or NoExecute", effect)
	}
}
