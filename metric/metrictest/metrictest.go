// Package metrictest reads what a registry holds, and holds the documentation of
// metrics against it.
package metrictest

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// Page is a Markdown file whose tables list metrics, one a line:
//
//	| `NAME` | LABEL, LABEL | HELP |
type Page struct {
	// Path is the file's.
	Path string
	// All are the headings of the tables that list what is registered, all of it
	// and nothing else. Also are those that list it along with other things.
	All, Also []string
}

// Check fails for each metric that is registered and not listed, listed and not
// registered, or listed with other labels or another help. Those of the process
// itself (go_*, process_*) are left out.
func (p Page) Check(t *testing.T, c prometheus.Collector) {
	t.Helper()
	page, err := os.ReadFile(p.Path)
	if err != nil {
		t.Fatal(err)
	}
	all, also := rowsBelow(string(page), p.All), rowsBelow(string(page), p.Also)
	got := described(t, c)
	for _, row := range slices.Sorted(maps.Keys(got)) {
		if !all[row] && !also[row] {
			t.Errorf("%s does not list\n%s", p.Path, row)
		}
	}
	for _, row := range slices.Sorted(maps.Keys(all)) {
		if !got[row] {
			t.Errorf("%s lists what is not there:\n%s", p.Path, row)
		}
	}
}

// rowsBelow returns the tables' lines that begin with a name, below headings.
func rowsBelow(page string, headings []string) map[string]bool {
	rows, in := map[string]bool{}, false
	for line := range strings.Lines(page) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "## "); ok {
			in = slices.Contains(headings, title)
		}
		if in && strings.HasPrefix(line, "| `") {
			rows[line] = true
		}
	}
	return rows
}

// desc is how the library prints what a metric is; it tells in no other way.
var desc = regexp.MustCompile(`^Desc\{fqName: "(.*?)", help: (".*"), (?:unit: ".*", )?constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}\}$`)

// described returns the rows that a collector's metrics should have.
func described(t *testing.T, c prometheus.Collector) map[string]bool {
	t.Helper()
	ch := make(chan *prometheus.Desc)
	go func() {
		defer close(ch)
		c.Describe(ch)
	}()
	rows := map[string]bool{}
	for d := range ch {
		m := desc.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("the library prints metrics otherwise than this test knows: %s", d)
		}
		name, constant, variable := m[1], m[3], m[4]
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		var help string
		if _, err := fmt.Sscanf(m[2], "%q", &help); err != nil {
			t.Fatal(err)
		}
		var labels []string
		for _, l := range strings.FieldsFunc(constant+","+variable, func(r rune) bool { return r == ',' }) {
			label, _, _ := strings.Cut(l, "=")
			labels = append(labels, label)
		}
		slices.Sort(labels)
		rows[fmt.Sprintf("| `%s` | %s | %s |", name, strings.Join(labels, ", "), help)] = true
	}
	return rows
}

// Values returns the registry's counters and gauges, and how often its histograms
// were given something, under "NAME VALUE-OF-LABEL...".
func Values(t *testing.T, registry prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}
