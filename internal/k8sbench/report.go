// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Marks: what the controllers may take at most.
const (
	maxRatio        = 1.5
	maxPeak         = 256 // MiB
	maxIdleCPU      = 0.6 // seconds per minute: one percent of a core
	maxIdleRequests = 1   // per minute
)

// tell prints what one run took.
func (b *bench) tell(who string, c cost) {
	var methods []string
	for _, m := range slices.Sorted(maps.Keys(c.Requests)) {
		methods = append(methods, fmt.Sprintf("%.0f %s", c.Requests[m], m))
	}
	line := fmt.Sprintf("  %-15s %7.2f s, CPU %6.2f s, of the server %6.2f s, peak %4d MiB, %s; answers known %.0f, found %.0f",
		who, c.Wall.Seconds(), c.CPU.Seconds(), c.Server.Seconds(), c.Peak>>20, strings.Join(methods, ", "), c.Hits, c.Misses)
	load, _ := os.ReadFile("/proc/loadavg") // others may be at work on the same machine
	now, _, _ := strings.Cut(string(load), " ")
	b.say("%s; load average %s", line, now)
}

// verdict is a value and what it should be at most; mark 0: it is only told.
type verdict struct {
	what        string
	value, mark float64
	unit        string
	low, high   float64 // of the rounds; 0: not known
}

func (v verdict) cells() (value, spread, mark, result string) {
	value = fmt.Sprintf("%.2f%s", v.value, v.unit)
	if v.high > 0 {
		spread = fmt.Sprintf("%.2f to %.2f", v.low, v.high)
	}
	if v.mark > 0 {
		mark, result = fmt.Sprintf("%g%s", v.mark, v.unit), "met"
		if v.value > v.mark {
			result = "missed"
		}
	}
	return value, spread, mark, result
}

// ofRounds judges the median of what the rounds say: within one, both were measured shortly after one another.
func (r result) ofRounds(what string, mark float64, unit string, value func(ours, bare cost) float64) verdict {
	var all []float64
	for i := range r.Ours {
		all = append(all, value(r.Ours[i], r.Bare[i]))
	}
	slices.Sort(all)
	return verdict{what: what, value: all[len(all)/2], mark: mark, unit: unit, low: all[0], high: all[len(all)-1]}
}

func (r result) verdicts() []verdict {
	objects := float64(r.Plan.Objects())
	peak := int64(0)
	for _, c := range r.Ours {
		peak = max(peak, c.Peak)
	}
	all := []verdict{
		r.ofRounds("time of ocm-controller / bare client", maxRatio, "", func(ours, bare cost) float64 { return ours.Wall.Seconds() / bare.Wall.Seconds() }),
		r.ofRounds("processor time of it and the API server / of the bare client and the API server", 0, "", func(ours, bare cost) float64 {
			return (ours.CPU + ours.Server).Seconds() / (bare.CPU + bare.Server).Seconds()
		}),
		r.ofRounds("requests of ocm-controller per object", 0, "", func(ours, _ cost) float64 { return ours.requests() / objects }),
		r.ofRounds("of these, what is written into objects", 0, "", func(ours, _ cost) float64 { return ours.Requests["PATCH"] / objects }),
		r.ofRounds("of these, events", 0, "", func(ours, _ cost) float64 { return ours.Requests["POST"] / objects }),
		r.ofRounds("requests of the bare client per object", 0, "", func(_, bare cost) float64 { return bare.requests() / objects }),
		r.ofRounds("questions that shared an answer", 0, " %", func(ours, _ cost) float64 { return 100 * ours.Hits / max(ours.Hits+ours.Misses, 1) }),
		{what: "peak memory of ocm-controller", value: float64(peak) / (1 << 20), mark: maxPeak, unit: " MiB"},
	}
	if r.Idle != nil {
		all = append(all,
			verdict{what: "quiet: CPU time per minute", value: r.Idle.CPU.Seconds(), mark: maxIdleCPU, unit: " s"},
			verdict{what: "quiet: requests per minute", value: r.Idle.Requests, mark: maxIdleRequests},
			verdict{what: "quiet: memory", value: float64(r.Idle.Memory) / (1 << 20), unit: " MiB"})
	}
	return all
}

func (b *bench) judge(r result) {
	for _, v := range r.verdicts() {
		value, spread, mark, result := v.cells()
		b.say("  %-80s %12s %10s %-7s %s", v.what, value, mark, result, spread)
	}
}

// markdown is the section of the document.
func (b *bench) markdown() string {
	var t strings.Builder
	fmt.Fprintf(&t, "Measured on %s, medians of %d rounds.\n\n", time.Now().UTC().Format(time.DateOnly), b.rounds)
	for _, r := range b.results {
		fmt.Fprintf(&t, "#### %d Components with %d Resources each\n\n| what | value | of the rounds | mark | |\n|---|--:|--:|--:|---|\n", r.Plan.Components, r.Plan.Resources)
		for _, v := range r.verdicts() {
			value, spread, mark, result := v.cells()
			fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", v.what, value, spread, mark, result)
		}
		t.WriteString("\n| who | time | CPU | of the API server | peak memory | requests |\n|---|--:|--:|--:|--:|--:|\n")
		for _, w := range []struct {
			name string
			all  []cost
		}{{"ocm-controller", r.Ours}, {"bare client", r.Bare}} {
			all := slices.SortedFunc(slices.Values(w.all), func(x, y cost) int { return int(x.Wall - y.Wall) })
			c := all[len(all)/2]
			fmt.Fprintf(&t, "| %s | %.2f s | %.2f s | %.2f s | %d MiB | %.0f |\n", w.name, c.Wall.Seconds(), c.CPU.Seconds(), c.Server.Seconds(), c.Peak>>20, c.requests())
		}
		t.WriteString("\n")
	}
	return t.String()
}

// writeReport replaces what was measured in a document.
func (b *bench) writeReport(path string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	const begin, end = "<!-- measured controllers -->\n", "<!-- end controllers -->"
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New(path + `: no part "controllers" between its comments`)
	}
	return os.WriteFile(path, []byte(before+begin+"\n"+b.markdown()+end+after), 0o644)
}
