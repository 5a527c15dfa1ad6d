// SPDX-License-Identifier: Apache-2.0

package apply

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxLine  = 4000 // bytes of a line
	context3 = 3    // lines around a change
	maxEdits = 400  // lines that differ; with more, everything between the first and the last is told as replaced
)

// edit is a line that both have (' '), the first has ('-'), or the second has ('+').
type edit struct {
	op   byte
	line string
}

// unified compares lines; the answer is empty if they are equal.
func unified(a, b []string) string {
	edits := compare(a, b)
	var out strings.Builder
	atA, atB := 1, 1
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i, atA, atB = i+1, atA+1, atB+1
			continue
		}
		start := max(0, i-context3)
		end, last := i, i // the hunk goes on while changes are near
		for end < len(edits) && end <= last+2*context3 {
			if edits[end].op != ' ' {
				last = end
			}
			end++
		}
		end = min(len(edits), last+1+context3)
		hunk(&out, edits[start:end], atA-(i-start), atB-(i-start))
		for ; i < end; i++ {
			if edits[i].op != '+' {
				atA++
			}
			if edits[i].op != '-' {
				atB++
			}
		}
	}
	return out.String()
}

// hunk writes changes with what is around them.
func hunk(out *strings.Builder, edits []edit, atA, atB int) {
	var inA, inB int
	for _, e := range edits {
		if e.op != '+' {
			inA++
		}
		if e.op != '-' {
			inB++
		}
	}
	if inA == 0 {
		atA--
	}
	if inB == 0 {
		atB--
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", atA, inA, atB, inB)
	for _, e := range edits {
		out.WriteByte(e.op)
		out.WriteString(bounded(e.line, maxLine))
		out.WriteByte('\n')
	}
}

// compare finds the fewest edits that make b of a.
func compare(a, b []string) []edit {
	var head, tail []edit
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		head, a, b = append(head, edit{' ', a[0]}), a[1:], b[1:]
	}
	end := 0
	for end < len(a) && end < len(b) && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	for _, line := range a[len(a)-end:] {
		tail = append(tail, edit{' ', line})
	}
	return append(append(head, middle(a[:len(a)-end], b[:len(b)-end])...), tail...)
}

// middle is the algorithm of Myers (An O(ND) Difference Algorithm, 1986), up to a number of edits.
func middle(a, b []string) []edit {
	limit := min(len(a)+len(b), maxEdits)
	furthest := make([]int, 2*limit+3) // in a, by diagonal
	var trace [][]int
	for d := 0; d <= limit; d++ {
		trace = append(trace, append([]int(nil), furthest[limit+1-d:limit+2+d]...))
		for k := -d; k <= d; k += 2 {
			at := limit + 1 + k
			x := 0
			if k == -d || k != d && furthest[at-1] < furthest[at+1] {
				x = furthest[at+1]
			} else {
				x = furthest[at-1] + 1
			}
			for x < len(a) && x-k < len(b) && a[x] == b[x-k] {
				x++
			}
			furthest[at] = x
			if x >= len(a) && x-k >= len(b) {
				return walk(a, b, trace)
			}
		}
	}
	out := make([]edit, 0, len(a)+len(b))
	for _, line := range a {
		out = append(out, edit{'-', line})
	}
	for _, line := range b {
		out = append(out, edit{'+', line})
	}
	return out
}

// walk goes back from the end along what was furthest before each edit.
func walk(a, b []string, trace [][]int) []edit {
	x, y := len(a), len(b)
	var back []edit
	for d := len(trace) - 1; d > 0; d-- {
		before := func(k int) int { return trace[d][k+d] } // furthest on a diagonal
		k := x - y
		added := k == -d || k != d && before(k-1) < before(k+1)
		from := k - 1
		if added {
			from = k + 1
		}
		fromX := before(from)
		fromY := fromX - from
		start := fromX + 1 // of what is equal after the edit
		if added {
			start = fromX
		}
		for ; x > start; x-- {
			back = append(back, edit{' ', a[x-1]})
		}
		if added {
			back = append(back, edit{'+', b[fromY]})
		} else {
			back = append(back, edit{'-', a[fromX]})
		}
		x, y = fromX, fromY
	}
	for ; x > 0; x-- {
		back = append(back, edit{' ', a[x-1]})
	}
	slices.Reverse(back)
	return back
}
