// SPDX-License-Identifier: Apache-2.0

package render

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// confine takes from this process what it does not need. The kernel keeps to it, whatever a template gets helm or kustomize to do: it
// opens no more files, sockets and pipes, writes no files, leaves no image of its memory behind, and ends when it needs more memory or
// time than it may.
func confine() error {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return err
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 6 {
		return fmt.Errorf("/proc/self/statm has %d fields", len(fields))
	}
	pages, err := strconv.ParseUint(fields[5], 10, 64)
	if err != nil {
		return err
	}
	limits := []struct {
		resource int
		value    uint64
	}{
		{unix.RLIMIT_DATA, pages*uint64(os.Getpagesize()) + MaxMemory},
		{unix.RLIMIT_CPU, uint64(MaxTime.Seconds())},
		{unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_FSIZE, 0},
		{unix.RLIMIT_NOFILE, 3},
	}
	for _, l := range limits {
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}); err != nil {
			return fmt.Errorf("limit %d: %w", l.resource, err)
		}
	}
	return nil
}
