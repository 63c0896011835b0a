// Package bench measures the built skiff as its user meets it: how long a start
// takes, and a pod, and many of them. `make bench` runs it, as root.
//
// Each benchmark starts the executable on a host of its own, see package host,
// and reports percentiles in milliseconds. On a machine that does something else
// as well they say little: compare cpu-ms then, which is the processor time of
// the server's process, that of its shims and containers not included.
package bench
