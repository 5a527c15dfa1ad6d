// SPDX-License-Identifier: Apache-2.0

// Command bench measures the ocm command against plain tools that move or hash the same bytes,
// in the same run and in turn, and prints ratios of medians. Run it by "make bench".
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type bench struct {
	ocm, dir string
	runs     int
}

func main() {
	ocm := flag.String("ocm", "bin/ocm", "the command to measure")
	runs := flag.Int("runs", 5, "paired runs; medians are printed")
	size := flag.Int64("size", 1<<30, "bytes of the large file")
	dir := flag.String("dir", "", "where to work; default: a temporary folder")
	flag.Parse()
	if err := run(*ocm, *dir, *runs, *size); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ocm, dir string, runs int, size int64) error {
	tmp, err := os.MkdirTemp(dir, "ocm-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if ocm, err = filepath.Abs(ocm); err != nil {
		return err
	}
	b := &bench{ocm: ocm, dir: tmp, runs: runs}
	fmt.Printf("%-44s %10s %10s %8s %8s\n", "case", "ocm", "peers", "ratio", "mark")
	for _, c := range []func() error{
		func() error { return b.largeFile(size) }, b.manyFilesAsDirectory, b.manyFilesAsResources, b.startUp, b.listing,
	} {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}

// cost is what one process took.
type cost struct {
	wall time.Duration
	peak int64 // bytes
}

func (b *bench) exec(name string, args ...string) (cost, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	start := time.Now()
	out, err := cmd.CombinedOutput()
	c := cost{wall: time.Since(start)}
	if err != nil {
		return c, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.peak = u.Maxrss << 10
	}
	return c, nil
}

// pair runs ours and the peers in turn and returns medians.
func (b *bench) pair(clean func() error, ours []string, peers ...[]string) (our, peer cost, err error) {
	var a, p []cost
	for range b.runs {
		if err := clean(); err != nil {
			return our, peer, err
		}
		c, err := b.exec(ours[0], ours[1:]...)
		if err != nil {
			return our, peer, err
		}
		a = append(a, c)
		var sum cost
		for _, cmd := range peers {
			c, err := b.exec(cmd[0], cmd[1:]...)
			if err != nil {
				return our, peer, err
			}
			sum.wall += c.wall
		}
		p = append(p, sum)
	}
	return median(a), median(p), nil
}

func median(c []cost) cost {
	slices.SortFunc(c, func(x, y cost) int { return int(x.wall - y.wall) })
	m := c[len(c)/2]
	for _, x := range c {
		m.peak = max(m.peak, x.peak)
	}
	return m
}

func (b *bench) print(name string, our, peer cost, mark float64) {
	ratio := float64(our.wall) / float64(peer.wall)
	fmt.Printf("%-44s %10s %10s %8.2f %8.2f%s\n", name, round(our.wall), round(peer.wall), ratio, mark, missed(ratio, mark))
}

// missed marks a row: the numbers depend on the machine, so they are read, not enforced.
func missed(value, mark float64) string {
	if value > mark {
		return "  missed"
	}
	return ""
}

func round(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

func (b *bench) limit(name, unit string, value, mark float64) {
	fmt.Printf("%-44s %8.1f%s %10s %8s %6.0f%s%s\n", name, value, unit, "", "", mark, unit, missed(value, mark))
}

func (b *bench) clean(names ...string) func() error {
	return func() error {
		for _, n := range names {
			if err := os.RemoveAll(filepath.Join(b.dir, n)); err != nil {
				return err
			}
		}
		return nil
	}
}

func (b *bench) write(name, text string) error {
	return os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644)
}

func constructor(resources string) string {
	return "components:\n- name: example.org/bench\n  version: 1.0.0\n  provider: {name: bench}\n  resources:\n" + resources
}

func (b *bench) largeFile(size int64) error {
	f, err := os.Create(filepath.Join(b.dir, "large"))
	if err != nil {
		return err
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for n := int64(0); n < size; n += int64(len(chunk)) {
		rand.Read(chunk)
		if _, err := f.Write(chunk); err != nil {
			return err
		}
	}
	if err := b.write("large.yaml", constructor("  - {name: large, type: blob, input: {type: file, path: large, mediaType: application/octet-stream}}\n")); err != nil {
		return err
	}
	our, peer, err := b.pair(b.clean("ctf", "copy"),
		[]string{b.ocm, "add", "cv", "-r", "ctf", "-c", "large.yaml"},
		[]string{"openssl", "dgst", "-sha256", "large"}, []string{"cp", "large", "copy"})
	if err != nil {
		return err
	}
	b.print(fmt.Sprintf("pack a file of %d MiB / openssl + cp", size>>20), our, peer, 1.5)
	b.limit("  peak memory", " MiB", float64(our.peak)/(1<<20), 64)
	return b.clean("ctf", "copy", "large")()
}

const many = 1000

func (b *bench) small() error {
	if err := os.MkdirAll(filepath.Join(b.dir, "small"), 0o755); err != nil {
		return err
	}
	content := make([]byte, 10<<10)
	for i := range many {
		rand.Read(content)
		if err := b.write(fmt.Sprintf("small/f%04d", i), string(content)); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) manyFilesAsDirectory() error {
	if err := b.small(); err != nil {
		return err
	}
	if err := b.write("dir.yaml", constructor("  - {name: small, type: directoryTree, input: {type: dir, path: small}}\n")); err != nil {
		return err
	}
	return b.manyFiles("pack 1,000 files of 10 KiB, one directory", "dir.yaml")
}

func (b *bench) manyFilesAsResources() error {
	var s strings.Builder
	for i := range many {
		fmt.Fprintf(&s, "  - {name: f%04d, type: blob, input: {type: file, path: small/f%04d, mediaType: application/octet-stream}}\n", i, i)
	}
	if err := b.write("files.yaml", constructor(s.String())); err != nil {
		return err
	}
	return b.manyFiles("pack 1,000 files of 10 KiB, a resource each", "files.yaml")
}

func (b *bench) manyFiles(name, file string) error {
	our, peer, err := b.pair(b.clean("ctf", "copy"),
		[]string{b.ocm, "add", "cv", "-r", "ctf", "-c", file},
		[]string{"cp", "-r", "small", "copy"}, []string{"sh", "-c", "openssl dgst -sha256 small/*"})
	if err != nil {
		return err
	}
	b.print(name, our, peer, 2)
	return b.clean("ctf", "copy")()
}

func (b *bench) startUp() error {
	var times []cost
	for range 4 * b.runs {
		c, err := b.exec(b.ocm, "version")
		if err != nil {
			return err
		}
		times = append(times, c)
	}
	b.limit("start-up: ocm version", " ms", float64(median(times).wall)/1e6, 30)
	info, err := os.Stat(b.ocm)
	if err != nil {
		return err
	}
	fmt.Printf("%-44s %8.1f MiB\n", "size of the binary", float64(info.Size())/(1<<20))
	return nil
}

func (b *bench) listing() error {
	var s strings.Builder
	s.WriteString("components:\n")
	for i := range many {
		fmt.Fprintf(&s, "- {name: example.org/listed, version: 1.0.%d, provider: {name: bench}}\n", i)
	}
	if err := b.write("versions.yaml", s.String()); err != nil {
		return err
	}
	c, err := b.exec(b.ocm, "add", "cv", "-r", "list", "-c", "versions.yaml")
	if err != nil {
		return err
	}
	fmt.Printf("%-44s %10s\n", "add 1,000 versions to an archive", round(c.wall))
	var times []cost
	for range b.runs {
		c, err := b.exec(b.ocm, "get", "cv", "./list//example.org/listed")
		if err != nil {
			return err
		}
		times = append(times, c)
	}
	b.limit("list 1,000 versions", " ms", float64(median(times).wall)/1e6, 200)
	return nil
}
