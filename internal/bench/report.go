// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"time"

	"ocm/internal/bench/kit"
)

// line is what one contender took in one case.
type line struct {
	Case, Who string
	Ours      bool
	Extra     bool
	Cost      cost
	Rounds    []cost   // in their order; empty where only the median was kept
	Traffic   *traffic // nil: nothing was counted
}

// section is what one case found.
type section struct {
	id, title string
	load      string // of the machine, before
	lines     []line
	verdicts  []kit.Verdict
}

func (b *bench) section() *section { return &b.results[len(b.results)-1] }

func (b *bench) begin(id, title string) {
	b.results = append(b.results, section{id: id, title: title, load: match("/proc/loadavg", `^(\S+)`)})
	b.say("\n== %s. %s", id, title)
	b.say("%-44s %-34s %10s %10s %9s %9s %10s", "case", "who", "time", "cpu", "peak", "requests", "bytes")
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.out, format+"\n", args...) }

func (b *bench) add(lines ...line) {
	for _, l := range lines {
		requests, bytes := l.traffic()
		b.say("%-44s %-34s %10s %10s %9s %9s %10s", l.Case, l.Who, seconds(l.Cost.wall), seconds(l.Cost.cpu), bytesText(l.Cost.peak), requests, bytes)
		if b.verbose && requests != "" {
			b.say("   %v", l.Traffic)
		}
	}
	s := b.section()
	s.lines = append(s.lines, lines...)
}

func (l line) traffic() (requests, bytes string) {
	if l.Traffic == nil || l.Traffic.requests() == 0 {
		return "", ""
	}
	return fmt.Sprint(l.Traffic.requests()), bytesText(l.Traffic.bytes())
}

// mark judges a value. The numbers depend on the machine, so they are read, not enforced.
func (b *bench) mark(what string, value, mark float64, unit string) {
	b.judge(kit.Verdict{What: what, Value: value, Mark: mark, Unit: unit})
}

// markRatio judges how long x took compared with y.
func (b *bench) markRatio(what string, x, y line, mark float64) {
	b.markRounds(what, mark, func(i int) float64 { return ratio(x.Rounds[i].wall, y.Rounds[i].wall) })
}

// markRounds judges the median of what the rounds say.
func (b *bench) markRounds(what string, mark float64, round func(i int) float64) {
	var values []float64
	for i := range b.runs {
		values = append(values, round(i))
	}
	b.judge(kit.OfRounds(what, mark, "", values))
}

func ratio(x, y time.Duration) float64 { return float64(x) / float64(max(y, 1)) }

func (b *bench) judge(v kit.Verdict) {
	b.say("   %-75s %8.2f%-4s %8s  %-7s %s", v.What, v.Value, v.Unit, v.Limit(), v.Result(), v.Spread())
	s := b.section()
	s.verdicts = append(s.verdicts, v)
}

// markPeak judges the highest memory of ours in this section.
func (b *bench) markPeak() {
	peak := int64(0)
	for _, l := range b.section().lines {
		if l.Ours {
			peak = max(peak, l.Cost.peak)
		}
	}
	b.mark("peak memory of ocm", mebi(peak), maxPeak, " MiB")
}

func mebi(n int64) float64 { return float64(n) / (1 << 20) }

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.3g GiB", float64(n)/(1<<30))
	case n >= 1000<<10:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	case n >= 1000:
		return fmt.Sprintf("%.3g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// markdown is the section of the document.
func (s section) markdown(b *bench) string {
	var t strings.Builder
	fmt.Fprintf(&t, "### %s. %s\n\n", s.id, s.title)
	fmt.Fprintf(&t, "Measured on %s, medians of %d rounds, load average before it %s%s.\n\n", time.Now().UTC().Format(time.DateOnly), b.runs, s.load, b.scaled())
	t.WriteString(kit.Table(s.verdicts))
	t.WriteString("\n| here | who | time | CPU | peak memory | requests | bytes |\n|---|---|--:|--:|--:|--:|--:|\n")
	last := ""
	for _, l := range s.lines {
		name := l.Case
		if name == last {
			name = ""
		}
		last = l.Case
		requests, bytes := l.traffic()
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s | %s |\n", name, l.Who, seconds(l.Cost.wall), seconds(l.Cost.cpu), bytesText(l.Cost.peak), requests, bytes)
	}
	return t.String()
}

func (b *bench) scaled() string {
	if b.scale == 1 {
		return ""
	}
	return fmt.Sprintf(", **sizes and numbers times %g**", b.scale)
}

// writeReport replaces the parts of a document that were measured now, and leaves all others.
func (b *bench) writeReport(path string) error {
	parts := map[string]string{"machine": b.machine()}
	for _, s := range b.results {
		parts[s.id] = s.markdown(b)
	}
	return kit.Write(path, parts)
}
