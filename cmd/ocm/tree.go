// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"

	"ocm"
)

// node is a component version with the versions that it references. A version that is
// referenced twice is the same node twice.
type node struct {
	descriptor *ocm.Descriptor
	children   []*node
}

// flatten lists the nodes as they stand in the tree, each version once.
func flatten(roots []*node) []*ocm.Descriptor {
	var list []*ocm.Descriptor
	seen := map[*node]bool{}
	var visit func([]*node)
	visit = func(nodes []*node) {
		for _, n := range nodes {
			if !seen[n] {
				seen[n] = true
				list = append(list, n.descriptor)
				visit(n.children)
			}
		}
	}
	visit(roots)
	return list
}

// printTree draws how component versions refer to each other. What is below a version is
// drawn where the version stands for the first time: a graph with many diamonds has
// more paths than anybody could read.
func printTree(w io.Writer, roots []*node) error {
	t := newTable("NESTING", "COMPONENT", "VERSION", "PROVIDER", "IDENTITY")
	t.keep = 1                                        // nesting that is broken into lines cannot be read
	t.width = lineWidth(w, len(t.titles)*(maxCell+3)) // what reads a pipe gets a line for each version
	seen := map[*node]bool{}
	var visit func(nodes []*node, indent string)
	visit = func(nodes []*node, indent string) {
		for i, n := range nodes {
			branch, below := "├─", "│  "
			if i == len(nodes)-1 {
				branch, below = "└─", "   "
			}
			nesting := indent + branch
			if seen[n] && len(n.children) > 0 {
				nesting += " (see above)"
			}
			c := n.descriptor.Component
			t.add(nesting, c.Name, c.Version, c.Provider.Name(), ocm.Identity{"name": c.Name, "version": c.Version}.String())
			if !seen[n] {
				seen[n] = true
				visit(n.children, indent+below)
			}
		}
	}
	visit(roots, "")
	return t.write(w)
}
