// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// verifying is our contender that verifies a version in the archive "ctf".
func (b *bench) verifying(component string) contender {
	return contender{name: "ocm", ours: true, cmd: func(ends) []string {
		return []string{b.ocm, "verify", "cv", "./ctf//" + component + ":1.0.0", "--public-key", "key.pub"}
	}}
}

// signed packs what a constructor describes and signs one version of it.
func (b *bench) signed(constructor, component string) error {
	if err := b.writeFile("verify.yaml", []byte(constructor)); err != nil {
		return err
	}
	if err := b.do("add", "cv", "-r", "ctf", "-c", "verify.yaml"); err != nil {
		return err
	}
	return b.do("sign", "cv", "./ctf//"+component+":1.0.0", "--private-key", "key")
}

// verify reads large content, and a graph of many small versions.
func (b *bench) verify() error {
	if err := b.do("create", "rsakeypair", "key", "key.pub"); err != nil {
		return err
	}
	size := b.size(1 << 30)
	if err := b.randomFile("large", 99, size); err != nil {
		return err
	}
	if err := b.signed(constructor("  - {name: large, type: blob, input: {type: file, path: large, mediaType: application/octet-stream}}\n"), "example.org/bench"); err != nil {
		return err
	}
	lines, err := b.compare("verify content of "+bytesText(size), b.verifying("example.org/bench"),
		contender{name: "openssl", cmd: func(ends) []string { return []string{"openssl", "dgst", "-sha256", "large"} }})
	if err != nil {
		return err
	}
	b.markRatio(lines[0].Case+": time of ocm / openssl", lines[0], lines[1], 1.11)
	b.markRounds(lines[0].Case+": CPU time of ocm / openssl", 1.11, func(i int) float64 { return ratio(lines[0].Rounds[i].cpu, lines[1].Rounds[i].cpu) })
	if err := b.remove("ctf", "large")(); err != nil {
		return err
	}
	return b.verifyGraph(b.count(500))
}

// verifyGraph verifies a root, all versions below it, and two resources of each.
func (b *bench) verifyGraph(many int) error {
	var s, refs strings.Builder
	s.WriteString("components:\n")
	for i := range many - 1 {
		fmt.Fprintf(&s, "- {name: example.org/c%d, version: 1.0.0, provider: {name: bench}, resources: [", i)
		for k := range 2 {
			fmt.Fprintf(&s, "{name: r%d, type: blob, input: {type: utf8, text: %d-%d}},", k, i, k)
		}
		s.WriteString("]}\n")
		fmt.Fprintf(&refs, "{name: c%d, componentName: example.org/c%d, version: 1.0.0},", i, i)
	}
	fmt.Fprintf(&s, "- {name: example.org/root, version: 1.0.0, provider: {name: bench}, componentReferences: [%s]}\n", &refs)
	if err := b.signed(s.String(), "example.org/root"); err != nil {
		return err
	}
	c, err := b.times(b.runs, b.verifying("example.org/root").cmd(ends{})...)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("verify a graph of %d versions", many)
	b.add(line{Case: name, Who: "ocm", Ours: true, Cost: c})
	b.mark(name, c.wall.Seconds(), 2, " s")
	b.markPeak()
	return b.remove("ctf", "key", "key.pub")()
}
