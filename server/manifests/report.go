package manifests

import (
	"errors"
	"log/slog"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/record"
)

// problem is something about a file that its owner should know.
type problem struct {
	// file is its name, "" if it is about the whole folder.
	file string
	text string
	// passing is what is no mistake and goes by: a file in the making.
	passing bool
	// again is that it may go away without the file being changed.
	again bool
}

// maxProblems bounds what is said of one file at a time.
const maxProblems = 20

// reporter says each problem once: in the log, and as an event about the file's
// record, which need not be there. What goes away and comes back is said again.
type reporter struct {
	log    *slog.Logger
	events record.EventRecorder
	said   map[problem]bool
}

func (r *reporter) report(problems []problem, about func(file string) *corev1.ConfigMap) {
	now := map[problem]bool{}
	count := map[string]int{}
	for _, p := range problems {
		if count[p.file]++; count[p.file] > maxProblems || now[p] {
			continue
		}
		now[p] = true
		if !r.said[p] {
			r.say(p, about)
		}
	}
	r.said = now
}

func (r *reporter) say(p problem, about func(file string) *corev1.ConfigMap) {
	switch {
	case p.passing:
		r.log.Info("manifest "+p.text, "file", p.file)
	case p.file == "":
		r.log.Warn("manifests are not applied", "err", p.text)
	default:
		r.log.Warn("manifest is not applied, or in part", "file", p.file, "err", p.text)
		r.events.Event(about(p.file), corev1.EventTypeWarning, "ManifestNotApplied", p.file+": "+p.text)
	}
}

// explain is an error of the API server without what a refused patch holds: it is
// long, and may be secret.
func explain(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return err.Error()
	}
	for _, c := range status.Status().Details.Causes {
		value, ok := strings.CutPrefix(c.Message, "Invalid value: ")
		if quoted, err := strconv.QuotedPrefix(value); ok && err == nil && c.Field == "patch" {
			return strings.TrimPrefix(value[len(quoted):], ": ")
		}
	}
	return err.Error()
}
