package bench

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figures are what was measured of one rival.
type figures struct {
	name string
	// programmed is from nothing until all services work.
	programmed, programmedCPU sample
	change, changeCPU         sample
	// first are medians of many connections, stream times for the same amount.
	first, stream       pair
	resident, anonymous float64
}

// ratios are those of service to direct, sorted.
func (p *pair) ratios() (list []float64) {
	for i := range p.direct {
		list = append(list, float64(p.service[i])/float64(p.direct[i]))
	}
	slices.Sort(list)
	return list
}

// printTable prints figures side by side.
func printTable(w io.Writer, services int, all []*figures) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "\n%d services", services)
	for _, f := range all {
		fmt.Fprintf(t, "\t%s", f.name)
	}
	fmt.Fprintln(t)
	for _, line := range []struct {
		what string
		of   func(*figures) string
	}{
		{"from its start until all work, ms", func(f *figures) string { return f.programmed.span() }},
		{"  processor time of that, ms", func(f *figures) string { return f.programmedCPU.span() }},
		{"one change works, p50 and p95, ms", func(f *figures) string {
			return fmt.Sprintf("%.1f %.1f", milliseconds(f.change.percentile(50)), milliseconds(f.change.percentile(95)))
		}},
		{"  processor time of that, mean, ms", func(f *figures) string { return fmt.Sprintf("%.1f", f.changeCPU.mean()) }},
		{"first packet, direct, µs", func(f *figures) string { return microseconds(f.first.direct.percentile(50)) }},
		{"first packet, service, µs", func(f *figures) string { return microseconds(f.first.service.percentile(50)) }},
		{"  service / direct", func(f *figures) string { return spread(f.first.ratios()) }},
		{"throughput, direct, Gbit/s", func(f *figures) string { return rate(f.stream.direct) }},
		{"throughput, service, Gbit/s", func(f *figures) string { return rate(f.stream.service) }},
		{"  time of service / direct", func(f *figures) string { return spread(f.stream.ratios()) }},
		{"resident, anonymous, MiB", func(f *figures) string { return fmt.Sprintf("%.1f %.1f", f.resident, f.anonymous) }},
	} {
		fmt.Fprint(t, line.what)
		for _, f := range all {
			fmt.Fprintf(t, "\t%s", line.of(f))
		}
		fmt.Fprintln(t)
	}
}

// span is the median, and the least and the greatest.
func (s sample) span() string {
	return fmt.Sprintf("%.0f (%.0f–%.0f)", milliseconds(s.percentile(50)), milliseconds(s.percentile(0)), milliseconds(s.percentile(100)))
}

// spread is the median of sorted ratios, and the quarter on either side of it.
func spread(sorted []float64) string {
	at := func(p int) float64 { return sorted[(len(sorted)-1)*p/100] }
	return fmt.Sprintf("%.3f (%.3f–%.3f)", at(50), at(25), at(75))
}

func microseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Nanoseconds())/1000) }

// rate is what a stream carries, by the median.
func rate(s sample) string {
	return fmt.Sprintf("%.1f", sent*8/s.percentile(50).Seconds()/1e9)
}
