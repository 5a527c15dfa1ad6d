// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func constructor(resources string) string {
	return "components:\n- name: example.org/bench\n  version: 1.0.0\n  provider: {name: bench}\n  resources:\n" + resources
}

// packing is our contender that packs what file describes.
func (b *bench) packing(file string) contender {
	return contender{name: "ocm", ours: true, fresh: b.remove("ctf"), cmd: func(ends) []string {
		return []string{b.ocm, "add", "cv", "-r", "ctf", "-c", file}
	}}
}

func (b *bench) script(name, text string) contender {
	return contender{name: name, fresh: b.remove("copy"), cmd: func(ends) []string { return []string{"sh", "-c", text} }}
}

// local are cases without a transfer.
func (b *bench) local() error {
	for _, c := range []func() error{b.packLarge, b.packMany, b.startUp, b.listing} {
		if err := c(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) packLarge() error {
	size := b.size(1 << 30)
	if err := b.randomFile("large", 99, size); err != nil {
		return err
	}
	if err := b.writeFile("large.yaml", []byte(constructor("  - {name: large, type: blob, input: {type: file, path: large, mediaType: application/octet-stream}}\n"))); err != nil {
		return err
	}
	name := "pack a file of " + bytesText(size)
	lines, err := b.compare(name, b.packing("large.yaml"), b.script("openssl, cp", "openssl dgst -sha256 large && cp large copy"))
	if err != nil {
		return err
	}
	b.markRatio(name+": time of ocm / openssl, cp", lines[0], lines[1], 1.5)
	b.markPeak()
	return b.remove("ctf", "copy", "large")()
}

// packMany packs many small files, as one directory and as a resource each.
func (b *bench) packMany() error {
	many := b.count(1000)
	if err := os.Mkdir(b.path("files"), 0o755); err != nil {
		return err
	}
	var each strings.Builder
	for i := range many {
		file := fmt.Sprintf("files/f%04d", i)
		if err := b.randomFile(file, i, 10<<10); err != nil {
			return err
		}
		fmt.Fprintf(&each, "  - {name: f%04d, type: blob, input: {type: file, path: %s, mediaType: application/octet-stream}}\n", i, file)
	}
	for _, c := range []struct{ name, file, resources string }{
		{"one directory", "dir.yaml", "  - {name: files, type: directoryTree, input: {type: dir, path: files}}\n"},
		{"a resource each", "files.yaml", each.String()},
	} {
		if err := b.writeFile(c.file, []byte(constructor(c.resources))); err != nil {
			return err
		}
		name := fmt.Sprintf("pack %d files of 10 KiB, %s", many, c.name)
		lines, err := b.compare(name, b.packing(c.file), b.script("cp, openssl", "cp -r files copy && openssl dgst -sha256 files/*"))
		if err != nil {
			return err
		}
		b.markRatio(name+": time of ocm / cp, openssl", lines[0], lines[1], 2)
	}
	return b.remove("ctf", "copy", "files")()
}

// times is the median of many runs of something short.
func (b *bench) times(n int, args ...string) (cost, error) {
	var all []cost
	for range n {
		c, err := b.exec(args...)
		if err != nil {
			return c, err
		}
		all = append(all, c)
	}
	return median(all), nil
}

// startTime is what ocm needs to do nothing.
func (b *bench) startTime() time.Duration {
	c, err := b.times(2*b.runs+1, b.ocm, "version")
	if err != nil {
		return 0
	}
	return c.wall
}

func (b *bench) startUp() error {
	c, err := b.times(4*b.runs, b.ocm, "version")
	if err != nil {
		return err
	}
	b.add(line{Case: "ocm version", Who: "ocm", Ours: true, Cost: c})
	b.mark("start-up", float64(c.wall)/1e6, 30, " ms")
	info, err := os.Stat(b.ocm)
	if err != nil {
		return err
	}
	b.mark("for information: size of the program", mebi(info.Size()), 0, " MiB")
	return nil
}

func (b *bench) listing() error {
	many := b.count(1000)
	var s strings.Builder
	s.WriteString("components:\n")
	for i := range many {
		fmt.Fprintf(&s, "- {name: example.org/listed, version: 1.0.%d, provider: {name: bench}}\n", i)
	}
	if err := b.writeFile("versions.yaml", []byte(s.String())); err != nil {
		return err
	}
	c, err := b.exec(b.ocm, "add", "cv", "-r", "list", "-c", "versions.yaml")
	if err != nil {
		return err
	}
	b.add(line{Case: fmt.Sprintf("add %d versions to an archive", many), Who: "ocm", Ours: true, Cost: c})
	if c, err = b.times(b.runs, b.ocm, "get", "cv", "./list//example.org/listed"); err != nil {
		return err
	}
	name := fmt.Sprintf("list %d versions", many)
	b.add(line{Case: name, Who: "ocm", Ours: true, Cost: c})
	b.mark(name, float64(c.wall)/1e6, 200, " ms")
	return b.remove("list")()
}

// hugeTar lists a tar archive that is large but has few bytes on the disk.
func (b *bench) hugeTar() error {
	if err := b.writeFile("tar.yaml", []byte(constructor("  - {name: text, type: plainText, input: {type: utf8, text: hello}}\n"))); err != nil {
		return err
	}
	if err := b.do("add", "cv", "-r", "./for-tar", "-c", "tar.yaml"); err != nil {
		return err
	}
	entries := b.count(1000)
	size := b.size(50<<30) / int64(entries)
	if err := b.sparseTar("huge.tar", "for-tar", entries, size); err != nil {
		return err
	}
	c, err := b.times(b.runs, b.ocm, "get", "cv", "./huge.tar")
	if err != nil {
		return err
	}
	name := fmt.Sprintf("get cv of a tar of %s, %d entries", bytesText(size*int64(entries)), entries)
	b.add(line{Case: name, Who: "ocm", Ours: true, Cost: c})
	b.mark(name, c.wall.Seconds(), 1, " s")
	b.markPeak()
	return b.remove("huge.tar", "for-tar")()
}
