// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCell is the widest cell of a table, in characters; longer text is cut.
const maxCell = 200

// table collects cells and writes them in aligned columns:
//
//	 COMPONENT    │ VERSION
//	──────────────┼─────────
//	 acme.org/app │ 1.0.0
type table struct {
	titles []string
	merged []bool // a cell equal to the one above stays blank, as long as those left of it do
	rows   [][]string
}

// newTable makes a table; a title that ends with "*" is that of a column whose repeated
// cells are merged.
func newTable(titles ...string) *table {
	t := &table{}
	for _, title := range titles {
		name, merged := strings.CutSuffix(title, "*")
		t.titles = append(t.titles, name)
		t.merged = append(t.merged, merged)
	}
	return t
}

// add appends a row; there must be as many cells as titles.
func (t *table) add(cells ...string) {
	row := make([]string, len(t.titles))
	for i := range row {
		row[i] = clean(cells[i], false)
	}
	t.rows = append(t.rows, row)
}

func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.titles))
	for _, row := range append([][]string{t.titles}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	writeRow(&b, t.titles, widths)
	for i, width := range widths {
		if i > 0 {
			b.WriteString("┼")
		}
		b.WriteString(strings.Repeat("─", width+2))
	}
	b.WriteByte('\n')
	for i, row := range t.rows {
		shown, same := make([]string, len(row)), i > 0
		for j, cell := range row {
			same = same && (!t.merged[j] || cell == t.rows[i-1][j])
			if !same || !t.merged[j] {
				shown[j] = cell
			}
		}
		writeRow(&b, shown, widths)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeRow(b *strings.Builder, cells []string, widths []int) {
	var line strings.Builder
	for i, cell := range cells {
		if i > 0 {
			line.WriteString(" │")
		}
		line.WriteString(" " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

// clean makes text from a repository safe to show: control characters, which could move
// the cursor or hide text, invisible ones and those that turn the direction of writing
// become visible escapes. Line breaks are kept only in messages; cells are cut.
func clean(s string, message bool) string {
	if !message && utf8.RuneCountInString(s) > maxCell {
		s = string([]rune(s)[:maxCell-1]) + "…"
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case message && (r == '\n' || r == '\t'), r == ' ', unicode.IsGraphic(r) && r != utf8.RuneError:
			b.WriteRune(r)
		default:
			b.WriteString(escape(r))
		}
	}
	return b.String()
}
