// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"ocm/deploy/render"
)

// limitMemory lets the garbage collector know the limit of the container, before the kernel enforces it, and returns what it knows
// (bytes; 0: no limit). $GOMEMLIMIT has the first word.
func limitMemory(getenv func(string) string, container func() int64) int64 {
	if getenv("GOMEMLIMIT") == "" {
		if limit := container(); limit > 0 {
			const charts = render.MaxProcesses * render.MaxMemory     // processes in the same container
			debug.SetMemoryLimit(max(limit-charts, limit/2) / 10 * 9) // the rest is for what is not Go's heap
		}
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit
	}
	return 0
}

// cgroupLimit is the limit of the container that this runs in; 0: none that is known.
func cgroupLimit() int64 {
	raw, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}
