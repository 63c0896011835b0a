// Package pod runs the pods of a node: it brings what runs in line with what the
// API says, and tells the API what runs.
//
// Each pod has a worker. A worker is an actor: everything that happens to the
// pod (its object changed, a container exited, a probe's result, a timer, the end of an
// operation) is put into its inbox, and a goroutine that exists only while the inbox is not empty takes
// it in, looks at the whole state and decides:
//
//	                 ┌──────────────────────────────────────────────┐
//	object ─┐        │ sync                                         │
//	event  ─┼─ inbox ┤  refuse? → set up (cgroup, volumes)          │
//	probe  ─┤        │          → sandbox → init → containers       ├─ status → API
//	timer  ─┘        │  end?    → kill → tear down → delete         │
//	                 └───────────────┬──────────────────────────────┘
//	                     operations ─┘  (one to bring up, one per container to kill,
//	                                     one to write the status; a goroutine each while they last)
//
// Decisions never wait: whatever takes time is an operation, which ends with a
// message to the inbox. So a container that crashes is seen while another one's image is pulled, and
// a pod at rest has no goroutine at all.
//
// All of a container's history is in the runtime (labels, annotations, the dead
// container kept per name), so that an agent that starts again goes on where
// the last one stopped.
package pod
