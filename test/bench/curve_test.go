package bench

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// fleetCost is what a server needs for so many idle agents: memory in MiB, and the
// share of a processor in percent.
type fleetCost struct {
	agents              int
	anonymous, resident float64
	processor           float64
}

// fleetCurve is that for more and more agents.
type fleetCurve []fleetCost

// last is the newest point, zero before the first.
func (c fleetCurve) last() fleetCost {
	if len(c) == 0 {
		return fleetCost{}
	}
	return c[len(c)-1]
}

// perAgent is what one agent adds to a server without any, in KiB.
func (c fleetCurve) perAgent(p fleetCost) float64 {
	return (p.anonymous - c[0].anonymous) * 1024 / float64(p.agents)
}

// print writes the curve as a table.
func (c fleetCurve) print(w io.Writer) {
	fmt.Fprintln(w, "\n| agents | anonymous | resident | anonymous per agent | CPU |\n|---:|---:|---:|---:|---:|")
	for _, p := range c {
		per := "–"
		if p.agents > 0 {
			per = fmt.Sprintf("%.0f KiB", c.perAgent(p))
		}
		fmt.Fprintf(w, "| %d | %.1f MiB | %.1f MiB | %s | %.1f %% |\n", p.agents, p.anonymous, p.resident, per, p.processor)
	}
}

// Measures of the plot, in its own units.
const (
	plotWidth, plotHeight, plotMargin = 640, 320, 48
	plotLines                         = 5
)

// plot draws the memory over the agents, as SVG.
func (c fleetCurve) plot() []byte {
	var most float64
	for _, p := range c {
		most = max(most, p.resident)
	}
	x := func(agents float64) float64 {
		return plotMargin + agents*(plotWidth-2*plotMargin)/float64(max(1, c.last().agents))
	}
	y := func(mib float64) float64 { return plotHeight - plotMargin - mib*(plotHeight-2*plotMargin)/most }
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="white"/>
`, plotWidth, plotHeight)
	for i := range plotLines + 1 {
		mib, agents := most*float64(i)/plotLines, float64(c.last().agents*i)/plotLines
		fmt.Fprintf(&out, `<path d="M%d %.0fH%d" stroke="lightgray"/><text x="%d" y="%.0f" text-anchor="end">%.0f</text><text x="%.0f" y="%d" text-anchor="middle">%.0f</text>
`, plotMargin, y(mib), plotWidth-plotMargin, plotMargin-6, y(mib)+4, mib, x(agents), plotHeight-plotMargin+18, agents)
	}
	for i, line := range []struct {
		name, colour string
		of           func(fleetCost) float64
	}{
		{"resident", "steelblue", func(p fleetCost) float64 { return p.resident }},
		{"anonymous", "firebrick", func(p fleetCost) float64 { return p.anonymous }},
	} {
		var points []string
		for _, p := range c {
			points = append(points, fmt.Sprintf("%.0f,%.0f", x(float64(p.agents)), y(line.of(p))))
		}
		fmt.Fprintf(&out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%d" y="%d" fill="%s">%s</text>
`, strings.Join(points, " "), line.colour, plotMargin+12, plotMargin+16*i, line.colour, line.name)
	}
	fmt.Fprintf(&out, `<text x="%d" y="24">memory of a server, MiB</text><text x="%d" y="%d" text-anchor="end">idle agents</text>
</svg>
`, plotMargin, plotWidth-plotMargin, plotHeight-8)
	return out.Bytes()
}

func TestFleetCurve(t *testing.T) {
	c := fleetCurve{{anonymous: 20, resident: 50}, {agents: 10, anonymous: 22, resident: 100, processor: 1.25}}
	var out strings.Builder
	c.print(&out)
	for _, want := range []string{"\n| 0 | 20.0 MiB | 50.0 MiB | – | 0.0 % |\n", "\n| 10 | 22.0 MiB | 100.0 MiB | 205 KiB | 1.2 % |\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %s", want, out.String())
		}
	}
	// The greatest value is at the top, no agents at the left.
	for _, want := range []string{`points="48,160 592,48"`, `points="48,227 592,223"`} {
		if !strings.Contains(string(c.plot()), want) {
			t.Errorf("no %s in %s", want, c.plot())
		}
	}
}
