// Package fake is a container runtime in memory for tests: it keeps the rules
// of the CRI (order of calls, states, events, errors) and runs a small language
// instead of processes.
//
//	rt := fake.New(fake.Options{Images: []string{"busybox"}})
//	agent.Deps{Runtime: rt, Images: rt}
//
// A container's command decides what it does; see script.go. Tests steer it
// from outside with Exit, KillSandbox, Fail and Calls.
package fake

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming"
)

// Options make a Runtime.
type Options struct {
	// Images are present from the start, by name without a tag or with one.
	Images []string
	// Registry are the images that can be pulled.
	Registry []string
	// PullDelay is how long a pull takes.
	PullDelay time.Duration
	// Handlers and Features are what Status reports.
	Handlers []*runtimeapi.RuntimeHandler
	Features *runtimeapi.RuntimeFeatures
	// NoNetwork is the network's problem at the start, see SetNetwork.
	NoNetwork string
	// Logger, if not nil, gets every call at debug level.
	Logger *slog.Logger
}

// Runtime implements cri.Runtime and cri.Images.
type Runtime struct {
	opts Options

	mu         sync.Mutex
	next       int
	sandboxes  map[string]*sandbox
	containers map[string]*container
	images     map[string]*runtimeapi.Image
	fails      map[string][]error
	calls      []string
	watchers   map[int]*watcher
	podCIDR    string
	noNetwork  string

	streamOnce sync.Once
	stream     streaming.Server
	serving    *http.Server
	processes  sync.WaitGroup
	streamErr  error
}

type sandbox struct {
	id     string
	config *runtimeapi.PodSandboxConfig
	state  runtimeapi.PodSandboxState
	ip     string
	// handler is the runtime handler asked for.
	handler string
	created int64
}

type container struct {
	id, sandbox string
	config      *runtimeapi.ContainerConfig
	imageID     string
	state       runtimeapi.ContainerState
	created     int64
	started     int64
	finished    int64
	exitCode    int32
	reason      string
	message     string
	logPath     string
	resources   *runtimeapi.LinuxContainerResources
	proc        *process
}

// New returns a runtime without sandboxes.
func New(opts Options) *Runtime {
	r := &Runtime{
		opts:       opts,
		sandboxes:  map[string]*sandbox{},
		containers: map[string]*container{},
		images:     map[string]*runtimeapi.Image{},
		fails:      map[string][]error{},
		watchers:   map[int]*watcher{},
		noNetwork:  opts.NoNetwork,
	}
	for _, name := range opts.Images {
		r.addImage(name)
	}
	return r
}

// Fail makes the next call of method ("StartContainer") return err; several calls
// queue up.
func (r *Runtime) Fail(method string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails[method] = append(r.fails[method], err)
}

// SetNetwork makes Status report that the network is ready, or with a problem
// other than "" that it is not.
func (r *Runtime) SetNetwork(problem string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noNetwork = problem
}

// Calls returns the state-changing calls so far, as "StartContainer ns/pod/name",
// and forgets them.
func (r *Runtime) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

// Exit ends the running container of that pod and name with a code, and reports
// whether there was one. Reason is as in a container's status ("Error",
// "OOMKilled", "" for the usual one of the code).
func (r *Runtime) Exit(namespace, pod, name string, code int32, reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		s := r.sandboxes[c.sandbox]
		if c.state == runtimeapi.ContainerState_CONTAINER_RUNNING && c.config.Metadata.Name == name &&
			s != nil && s.config.Metadata.Name == pod && s.config.Metadata.Namespace == namespace {
			r.exitLocked(c, code, reason, "")
			return true
		}
	}
	return false
}

// KillSandbox makes a pod's sandbox die, with its containers.
func (r *Runtime) KillSandbox(namespace, pod string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sandboxes {
		if s.config.Metadata.Name == pod && s.config.Metadata.Namespace == namespace && s.state == runtimeapi.PodSandboxState_SANDBOX_READY {
			r.stopSandboxLocked(s, 137)
			return true
		}
	}
	return false
}

// LoseAddress takes the pod's address away while its containers run on, as when
// its network namespace has vanished. It reports whether it found the sandbox.
func (r *Runtime) LoseAddress(namespace, pod string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sandboxes {
		if s.config.Metadata.Name == pod && s.config.Metadata.Namespace == namespace && s.state == runtimeapi.PodSandboxState_SANDBOX_READY {
			s.ip = ""
			return true
		}
	}
	return false
}

// begin records a call and returns the failure that was ordered for it.
func (r *Runtime) begin(method, subject string) error {
	if subject != "" {
		r.calls = append(r.calls, method+" "+subject)
	}
	if r.opts.Logger != nil {
		r.opts.Logger.Debug("cri", "method", method, "subject", subject)
	}
	if queue := r.fails[method]; len(queue) > 0 {
		r.fails[method] = queue[1:]
		return queue[0]
	}
	return nil
}

func (r *Runtime) newID() string {
	r.next++
	return fmt.Sprintf("%064x", r.next)
}

func (s *sandbox) String() string {
	return s.config.Metadata.Namespace + "/" + s.config.Metadata.Name
}

// subject names a container in Calls.
func (r *Runtime) subject(c *container) string {
	pod := "?"
	if s := r.sandboxes[c.sandbox]; s != nil {
		pod = s.String()
	}
	return pod + "/" + c.config.Metadata.Name
}

// match tells whether all of selector's labels are in labels.
func match(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// normalize gives an image name the tag "latest" if it has neither tag nor digest.
func normalize(name string) string {
	if strings.Contains(name, "@") || strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
		return name
	}
	return name + ":latest"
}
