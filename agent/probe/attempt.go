package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"skiff/agent/container"
	"skiff/agent/fieldpath"
)

// attempt is what one run of a probe needs to know.
type attempt struct {
	pod             *corev1.Pod
	name, id, podIP string
	spec            *corev1.Probe
	kind            Kind
}

const (
	maxOutput    = 10 << 10
	userAgent    = "kube-probe/1.37"
	maxRedirects = 10
)

// probe runs one attempt.
func (m *Manager) probe(ctx context.Context, a attempt) (ok bool, output string) {
	timeout := seconds(max(a.spec.TimeoutSeconds, 1))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch {
	case a.spec.Exec != nil:
		return m.exec(ctx, a, timeout)
	case a.spec.HTTPGet != nil:
		return m.http(ctx, a)
	case a.spec.TCPSocket != nil:
		return tcp(ctx, a)
	case a.spec.GRPC != nil:
		return grpcHealth(ctx, a, timeout)
	}
	return false, "missing probe handler"
}

func (m *Manager) exec(ctx context.Context, a attempt, timeout time.Duration) (bool, string) {
	cmd := a.spec.Exec.Command
	if c := fieldpath.Container(a.pod, a.name); c != nil {
		cmd = expandCommand(cmd, c.Env)
	}
	code, out, err := m.cfg.Exec.ExecSync(ctx, a.id, cmd, timeout)
	text := string(out[:min(len(out), maxOutput)])
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return false, fmt.Sprintf("command timed out: %q timed out after %v", strings.Join(a.spec.Exec.Command, " "), timeout)
	case err != nil:
		return false, err.Error()
	}
	return code == 0, text
}

// expandCommand replaces the variables that the container's spec gives literally.
func expandCommand(cmd []string, env []corev1.EnvVar) []string {
	out := make([]string, len(cmd))
	for i, word := range cmd {
		out[i] = container.Expand(word, func(name string) (string, bool) {
			for _, e := range env {
				if e.Name == name {
					return e.Value, true
				}
			}
			return "", false
		})
	}
	return out
}

// transport makes a connection per probe: kept ones would hide that a server
// takes no new ones.
var transport = &http.Transport{
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
	DisableKeepAlives: true,
	Proxy:             nil,
}

func (m *Manager) http(ctx context.Context, a attempt) (bool, string) {
	req, err := request(ctx, a)
	if err != nil {
		return false, err.Error()
	}
	away := ""
	client := &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.URL.Hostname() != via[0].URL.Hostname() {
			away = req.URL.String()
			return http.ErrUseLastResponse
		}
		if len(via) >= maxRedirects {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}}
	resp, err := client.Do(req)
	if err != nil {
		return false, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxOutput))
	switch {
	case err != nil:
		return false, err.Error()
	case resp.StatusCode < 200 || resp.StatusCode >= 400:
		return false, fmt.Sprintf("HTTP probe failed with statuscode: %d", resp.StatusCode)
	case away != "":
		m.cfg.Events.Event(container.Ref(a.pod, a.name), corev1.EventTypeWarning, "ProbeWarning", fmt.Sprintf("%s probe warning: Probe terminated redirects, Response body: %s", a.kind, body))
	}
	return true, string(body)
}

// request builds an HTTP probe's request.
func request(ctx context.Context, a attempt) (*http.Request, error) {
	h := a.spec.HTTPGet
	port, err := portOf(h.Port, a)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(h.Path)
	if err != nil {
		u = &url.URL{Path: h.Path}
	}
	u.Scheme = strings.ToLower(string(h.Scheme))
	if u.Scheme == "" {
		u.Scheme = "http"
	}
	host := h.Host
	if host == "" {
		host = a.podIP
	}
	u.Host = net.JoinHostPort(host, strconv.Itoa(port))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", userAgent)
	req.Header.Set("Accept", "*/*")
	own := http.Header{}
	for _, header := range h.HTTPHeaders {
		switch {
		case strings.EqualFold(header.Name, "Host"):
			req.Host = header.Value
		default:
			own.Add(header.Name, header.Value)
		}
	}
	for name, values := range own {
		if len(values) == 1 && values[0] == "" && (name == "Accept" || name == "User-Agent") {
			req.Header.Del(name)
			if name == "User-Agent" {
				req.Header.Set(name, "") // or net/http sets its own
			}
			continue
		}
		req.Header[name] = values
	}
	return req, nil
}

func tcp(ctx context.Context, a attempt) (bool, string) {
	port, err := portOf(a.spec.TCPSocket.Port, a)
	if err != nil {
		return false, err.Error()
	}
	host := a.spec.TCPSocket.Host
	if host == "" {
		host = a.podIP
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false, err.Error()
	}
	conn.Close()
	return true, ""
}

// portOf resolves a port's name among those of the container.
func portOf(p intstr.IntOrString, a attempt) (int, error) {
	if p.Type == intstr.Int {
		return p.IntValue(), checkPort(p.IntValue())
	}
	if c := fieldpath.Container(a.pod, a.name); c != nil {
		for _, port := range c.Ports {
			if port.Name == p.StrVal {
				return int(port.ContainerPort), checkPort(int(port.ContainerPort))
			}
		}
	}
	n, err := strconv.Atoi(p.StrVal)
	if err != nil {
		return 0, fmt.Errorf("couldn't find port by name %q in container %q", p.StrVal, a.name)
	}
	return n, checkPort(n)
}

func checkPort(n int) error {
	if n <= 0 || n > 65535 {
		return fmt.Errorf("invalid port number: %d", n)
	}
	return nil
}

// Request builds the request of an HTTP action, for lifecycle hooks as well.
func Request(ctx context.Context, pod *corev1.Pod, containerName, podIP string, h *corev1.HTTPGetAction) (*http.Request, error) {
	return request(ctx, attempt{pod: pod, name: containerName, podIP: podIP, spec: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: h}}})
}

// Transport is what probes connect with: no proxy, no kept connections, no
// certificate checks.
func Transport() http.RoundTripper { return transport }
