package agent

import (
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// events records what happens on the node.
type events struct {
	recorder    record.EventRecorder
	broadcaster record.EventBroadcaster
	ref         atomic.Pointer[corev1.ObjectReference]
	deps        Deps
}

func newEvents(cfg Config, deps Deps) *events {
	e := &events{recorder: deps.Recorder, deps: deps}
	// Until the node's UID is known that is its name, by old custom.
	e.refer(cfg.NodeName, types.UID(cfg.NodeName))
	if e.recorder == nil {
		e.broadcaster = record.NewBroadcaster()
		e.recorder = e.broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: cfg.NodeName})
	}
	return e
}

// start writes the events with the client until stop.
func (e *events) start() {
	if e.broadcaster != nil {
		e.broadcaster.StartRecordingToSink(&typedv1.EventSinkImpl{Interface: e.deps.Client.CoreV1().Events("")})
	}
}

// stop comes after everything that records.
func (e *events) stop() {
	if e.broadcaster != nil {
		e.broadcaster.Shutdown()
	}
}

// refer sets what events about the node refer to.
func (e *events) refer(node string, uid types.UID) {
	e.ref.Store(&corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: node, UID: uid})
}

// nodeStatus records that the node's status has become another.
func (e *events) nodeStatus(reason string) {
	e.node(corev1.EventTypeNormal, reason, "Node "+e.ref.Load().Name+" status is now: "+reason)
}

// node records an event about the node.
func (e *events) node(kind, reason, message string) {
	e.recorder.Event(e.ref.Load(), kind, reason, message)
}
