// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm/ctf"
	"ocm/oci"
)

// BenchmarkVersions adds versions of two small blobs and a manifest to a new CTF, each in a repository of its
// own, by so many writers at once. What one version costs must not depend on their number.
func BenchmarkVersions(b *testing.B) {
	for _, writers := range []int{16, 256} {
		for _, n := range []int{50, 500, 2000, 10_000} {
			b.Run(fmt.Sprintf("writers=%d/n=%d", writers, n), func(b *testing.B) {
				cpu := cpuTime()
				for b.Loop() {
					addVersions(b, open(b, filepath.Join(b.TempDir(), "ctf")), writers, n)
				}
				b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N*n), "cpu-µs/version")
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/version")
			})
		}
	}
}

func addVersions(b *testing.B, s *ctf.Store, writers, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := addVersion(b, s, int(i)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func addVersion(b *testing.B, s *ctf.Store, i int) error {
	r := s.Repo(fmt.Sprint("component-descriptors/acme.org/component-", i))
	for _, text := range []string{"config", "descriptor"} {
		d, rc := content(fmt.Sprint(text, i))
		if there, err := r.Exists(b.Context(), d); there || err != nil {
			return fmt.Errorf("exists: %v, %w", there, err)
		}
		if _, err := r.Push(b.Context(), d, rc); err != nil {
			return err
		}
	}
	d, raw := manifest(fmt.Sprint(i))
	d.MediaType = ociv1.MediaTypeImageManifest
	return r.PutManifest(b.Context(), d, raw, "1.0.0", oci.Absent())
}

// cpuTime is what this process used. On a machine with other work it says more than the clock.
func cpuTime() time.Duration { return usedBy(syscall.RUSAGE_SELF) }

func usedBy(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
