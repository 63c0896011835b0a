// Package version names this build: Skiff's own version and the version of the
// Kubernetes API that it speaks. It is the one place that does; servers, nodes
// and the command line all tell what stands here.
package version

import (
	"runtime"
	"strings"
	"time"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

// Set by the linker (see the Makefile).
var (
	// Skiff is this release of Skiff, as `git describe --dirty` names it.
	Skiff = "v0.1.0-dev"
	// Commit is the git commit that was built, "" outside of a checkout.
	Commit = ""
	// Date is the time of that commit, RFC 3339; "" outside of a checkout.
	Date = ""
)

// Kubernetes is the API version that servers and nodes report. It is a semantic
// version because clients and the conformance suite parse it; its number is that
// of the libraries in go.mod, k8s.io/api v0.X.Y being Kubernetes v1.X.Y.
const Kubernetes = "v1.37.2+skiff1"

// Major and Minor are Kubernetes' own, as /version reports them.
const (
	Major = "1"
	Minor = "37"
)

// unknownDate is what upstream reports of a build without a date.
const unknownDate = "1970-01-01T00:00:00Z"

// Info is the body of /version.
func Info() apimachineryversion.Info {
	info := apimachineryversion.Info{
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
	if strings.HasSuffix(Skiff, "-dirty") {
		info.GitTreeState = "dirty"
	}
	if Date == "" {
		info.BuildDate = unknownDate
	}
	return info
}

// Built is a time before which no right clock can be: that of the commit, or of
// the project's beginning where it is not known.
func Built() time.Time {
	if t, err := time.Parse(time.RFC3339, Date); err == nil {
		return t
	}
	return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
}
