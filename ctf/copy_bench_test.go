// SPDX-License-Identifier: Apache-2.0

//go:build unix

package ctf_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"ocm"
	"ocm/oci"
)

// hidden is a source whose readers are no files: their bytes have to come by.
type hidden struct{ ocm.Fetcher }

func (h hidden) Fetch(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	rc, err := h.Fetcher.Fetch(ctx, d)
	return struct {
		io.Reader
		io.Closer
	}{rc, rc}, err
}

// BenchmarkCopy copies 8 blobs of 128 MiB from one directory to another, 4 at once, and compares that with
// cp and openssl in turns. It needs room: set CTF_BENCH_DIR to a folder.
func BenchmarkCopy(b *testing.B) {
	base := os.Getenv("CTF_BENCH_DIR")
	if base == "" {
		b.Skip("CTF_BENCH_DIR is not set")
	}
	const size, count = 128 << 20, 8
	src := openTemp(b, base)
	var blobs []ociv1.Descriptor
	piece := make([]byte, 1<<20)
	for i := range count {
		rand.NewChaCha8([32]byte{byte(i)}).Read(piece)
		d, err := src.Repo("r").Push(b.Context(), ociv1.Descriptor{}, io.LimitReader(repeat{piece}, size))
		if err != nil {
			b.Fatal(err)
		}
		blobs = append(blobs, d)
	}
	ours := func(from ocm.Fetcher) {
		target := openTemp(b, base)
		env := &ocm.Env{Job: ocm.NewJob(4)}
		draft, err := oci.NewRepository(target, env).Draft(b.Context(), "acme.org/app", "1.0.0", nil)
		if err != nil {
			b.Fatal(err)
		}
		var g errgroup.Group
		for _, d := range blobs {
			g.Go(func() error {
				_, err := draft.Add(b.Context(), ocm.Content{Root: d, From: from}, "")
				return err
			})
		}
		if err := g.Wait(); err != nil {
			b.Fatal(err)
		}
		os.RemoveAll(target.String())
	}
	theirs := func() {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			b.Fatal(err)
		}
		script := fmt.Sprintf("cp %s/blobs/* %s && openssl dgst -sha256 %s/* >/dev/null", src, dir, dir)
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		os.RemoveAll(dir)
	}
	var kernel, pump, cp, kernelCPU, pumpCPU, cpCPU time.Duration
	timed := func(sum, cpu *time.Duration, fn func()) {
		start, before := time.Now(), usedBy(syscall.RUSAGE_SELF)+usedBy(syscall.RUSAGE_CHILDREN)
		fn()
		*sum += time.Since(start)
		*cpu += usedBy(syscall.RUSAGE_SELF) + usedBy(syscall.RUSAGE_CHILDREN) - before
	}
	for b.Loop() {
		timed(&cp, &cpCPU, theirs)
		timed(&kernel, &kernelCPU, func() { ours(src.Repo("r")) })
		timed(&pump, &pumpCPU, func() { ours(hidden{src.Repo("r")}) })
	}
	b.ReportMetric(float64(kernel)/float64(cp), "kernel/cp")
	b.ReportMetric(float64(pump)/float64(cp), "pump/cp")
	b.ReportMetric(float64(kernelCPU)/float64(cpCPU), "kernel/cp(cpu)")
	b.ReportMetric(float64(pumpCPU)/float64(cpCPU), "pump/cp(cpu)")
}
