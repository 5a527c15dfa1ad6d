// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"ocm/internal/bench/kit"
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

// ofRounds judges the median of what the rounds say.
func (r result) ofRounds(what string, mark float64, unit string, value func(ours, bare cost) float64) kit.Verdict {
	var all []float64
	for i := range r.Ours {
		all = append(all, value(r.Ours[i], r.Bare[i]))
	}
	return kit.OfRounds(what, mark, unit, all)
}

func (r result) verdicts() []kit.Verdict {
	objects := float64(r.Plan.Objects())
	peak := int64(0)
	for _, c := range r.Ours {
		peak = max(peak, c.Peak)
	}
	all := []kit.Verdict{
		r.ofRounds("time of ocm-controller / bare client", maxRatio, "", func(ours, bare cost) float64 { return ours.Wall.Seconds() / bare.Wall.Seconds() }),
		r.ofRounds("processor time of it and the API server / of the bare client and the API server", 0, "", func(ours, bare cost) float64 {
			return (ours.CPU + ours.Server).Seconds() / (bare.CPU + bare.Server).Seconds()
		}),
		r.ofRounds("requests of ocm-controller per object", 0, "", func(ours, _ cost) float64 { return ours.requests() / objects }),
		r.ofRounds("of these, what is written into objects", 0, "", func(ours, _ cost) float64 { return ours.Requests["PATCH"] / objects }),
		r.ofRounds("of these, events", 0, "", func(ours, _ cost) float64 { return ours.Requests["POST"] / objects }),
		r.ofRounds("requests of the bare client per object", 0, "", func(_, bare cost) float64 { return bare.requests() / objects }),
		r.ofRounds("questions that shared an answer", 0, " %", func(ours, _ cost) float64 { return 100 * ours.Hits / max(ours.Hits+ours.Misses, 1) }),
		{What: "peak memory of ocm-controller", Value: float64(peak) / (1 << 20), Mark: maxPeak, Unit: " MiB"},
	}
	if r.Idle != nil {
		all = append(all,
			kit.Verdict{What: "quiet: CPU time per minute", Value: r.Idle.CPU.Seconds(), Mark: maxIdleCPU, Unit: " s"},
			kit.Verdict{What: "quiet: requests per minute", Value: r.Idle.Requests, Mark: maxIdleRequests},
			kit.Verdict{What: "quiet: memory", Value: float64(r.Idle.Memory) / (1 << 20), Unit: " MiB"})
	}
	return all
}

func (b *bench) judge(r result) {
	for _, v := range r.verdicts() {
		b.say("  %-80s %12s %10s %-7s %s", v.What, fmt.Sprintf("%.2f%s", v.Value, v.Unit), v.Limit(), v.Result(), v.Spread())
	}
}

// markdown is the section of the document.
func (b *bench) markdown() string {
	var t strings.Builder
	fmt.Fprintf(&t, "Measured on %s, medians of %d rounds.\n", time.Now().UTC().Format(time.DateOnly), b.rounds)
	for _, r := range b.results {
		fmt.Fprintf(&t, "\n#### %d Components with %d Resources each\n\n%s", r.Plan.Components, r.Plan.Resources, kit.Table(r.verdicts()))
		t.WriteString("\n| who | time | CPU | of the API server | peak memory | requests |\n|---|--:|--:|--:|--:|--:|\n")
		for _, w := range []struct {
			name string
			all  []cost
		}{{"ocm-controller", r.Ours}, {"bare client", r.Bare}} {
			all := slices.SortedFunc(slices.Values(w.all), func(x, y cost) int { return int(x.Wall - y.Wall) })
			c := all[len(all)/2]
			fmt.Fprintf(&t, "| %s | %.2f s | %.2f s | %.2f s | %d MiB | %.0f |\n", w.name, c.Wall.Seconds(), c.CPU.Seconds(), c.Server.Seconds(), c.Peak>>20, c.requests())
		}
	}
	return t.String()
}
