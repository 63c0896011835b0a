// Package version names this build: Skiff's own version and the version of the
// Kubernetes API that it speaks.
package version

import (
	"runtime"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

// Set by the linker (see the Makefile).
var (
	// Skiff is this release of Skiff.
	Skiff = "v0.1.0-dev"
	// Commit is the git commit that was built, "" outside of a checkout.
	Commit = ""
	// Date is the time of that commit, RFC 3339.
	Date = ""
)

// Kubernetes is the API version that servers and nodes report. It is a semantic
// version because clients and the conformance suite parse it.
const Kubernetes = "v1.37.2+skiff1"

// Major and Minor are Kubernetes' own, as /version reports them.
const (
	Major = "1"
	Minor = "37"
)

// Info is the body of /version.
func Info() apimachineryversion.Info {
	return apimachineryversion.Info{
		Major:        Major,
		Minor:        Minor,
		GitVersion:   Kubernetes,
		GitCommit:    Commit,
		GitTreeState: "clean",
		BuildDate:    Date,
		GoVersion:    runtime.Version(),
		Compiler:     runtime.Compiler,
		Platform:     runtime.GOOS + "/" + runtime.GOARCH,
	}
}
