// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

const maxPeak = 64 // MiB

// memory moves one blob in all directions, a small one and a large one, once each.
func (b *bench) memory() error {
	if err := b.registries(); err != nil {
		return err
	}
	sizes := []int64{b.size(256 << 20)}
	if b.full {
		sizes = append(sizes, b.size(4<<30))
	}
	peaks := map[string][]int64{}
	var steps []string
	for _, size := range sizes {
		all, err := b.oneBlob(size)
		if err != nil {
			return err
		}
		steps = steps[:0]
		for _, l := range all {
			peaks[l.Case] = append(peaks[l.Case], l.Cost.peak)
			steps = append(steps, l.Case)
		}
	}
	for _, step := range steps {
		p := peaks[step]
		b.mark(step+": peak memory", mebi(p[len(p)-1]), maxPeak, " MiB")
		if len(p) > 1 {
			b.mark(step+": peak memory with 4 GiB / with 256 MiB", float64(p[1])/float64(p[0]), 1.1, "")
		}
	}
	return nil
}

func (b *bench) oneBlob(size int64) ([]line, error) {
	if err := b.emptied(); err != nil {
		return nil, err
	}
	if err := b.randomFile("blob", 77, size); err != nil {
		return nil, err
	}
	if err := b.writeFile("blob.yaml", []byte(constructor("  - {name: blob, type: blob, input: {type: file, path: blob, mediaType: application/octet-stream}}\n"))); err != nil {
		return nil, err
	}
	const cv = "//example.org/bench:1.0.0"
	remote := "http://" + b.target.addr + "/one"
	var lines []line
	for _, s := range []struct {
		name, done string // done: what is no longer needed after it
		args       []string
	}{
		{"pack", "blob", []string{"add", "cv", "-r", "./one", "-c", "blob.yaml"}},
		{"CTF→CTF", "two", []string{"transfer", "cv", "./one" + cv, "./two"}},
		{"CTF→registry", "one", []string{"transfer", "cv", "./one" + cv, remote}},
		{"registry→CTF", "three", []string{"transfer", "cv", remote + cv, "./three"}},
	} {
		if err := b.settle(); err != nil {
			return nil, err
		}
		c, err := b.exec(append([]string{b.ocm}, s.args...)...)
		if err != nil {
			return nil, err
		}
		b.add(line{Case: fmt.Sprintf("a blob of %s, %s", bytesText(size), s.name), Who: "ocm", Ours: true, Cost: c})
		lines = append(lines, line{Case: s.name, Cost: c})
		if err := b.remove(s.done)(); err != nil {
			return nil, err
		}
	}
	return lines, b.emptied()
}
