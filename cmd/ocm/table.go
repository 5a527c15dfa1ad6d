// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Measures of tables, in characters.
const (
	maxTable  = 100 // wider tables get their widest columns wrapped; on a terminal its width counts
	minTable  = 40  // no table is made to fit a terminal that is narrower
	maxCell   = 200 // longer text is cut
	minColumn = 12  // no column is made narrower than this
)

// table collects cells and writes them in aligned columns:
//
//	 COMPONENT    │ VERSION
//	──────────────┼─────────
//	 acme.org/app │ 1.0.0
type table struct {
	titles []string
	merged []bool // a cell equal to the one above stays blank, as long as those left of it do
	rows   []tableRow
	keep   int // how many columns, from the left, are never made narrower
	width  int // what the table should not exceed; 0: what fits where it is written
}

// tableRow is a row of cells, or a line of text across all columns.
type tableRow struct {
	cells []string
	text  string
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
	t.rows = append(t.rows, tableRow{cells: row})
}

// line appends text that stands across all columns and is never wrapped, so that it can be
// copied: what the rows below belong to, or what is too long for a cell of the row above.
func (t *table) line(indent, text string) {
	t.rows = append(t.rows, tableRow{text: indent + clean(text, false)})
}

// dropEmpty removes the columns that have no text in any row.
func (t *table) dropEmpty() {
	for i := len(t.titles) - 1; i >= 0; i-- {
		if slices.ContainsFunc(t.rows, func(r tableRow) bool { return r.cells != nil && r.cells[i] != "" }) {
			continue
		}
		if i < t.keep {
			t.keep--
		}
		t.titles, t.merged = slices.Delete(t.titles, i, i+1), slices.Delete(t.merged, i, i+1)
		for k, r := range t.rows {
			if r.cells != nil {
				t.rows[k].cells = slices.Delete(r.cells, i, i+1)
			}
		}
	}
}

// head is titles and rule; there is none over nothing but lines.
func (t *table) head(b *strings.Builder, widths []int) {
	if len(t.rows) > 0 && !slices.ContainsFunc(t.rows, func(r tableRow) bool { return r.cells != nil }) {
		return
	}
	writeRow(b, t.titles, widths)
	for i, width := range widths {
		if i > 0 {
			b.WriteString("┼")
		}
		b.WriteString(strings.Repeat("─", width+2))
	}
	b.WriteByte('\n')
}

// lineWidth is how many characters fit into a line of w, if that is a terminal.
func lineWidth(w io.Writer, otherwise int) int {
	f, ok := w.(*os.File)
	if !ok {
		return otherwise
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		return max(minTable, width)
	}
	return otherwise
}

func (t *table) write(w io.Writer) error {
	if t.width == 0 {
		t.width = lineWidth(w, maxTable)
	}
	widths := t.widths()
	var b strings.Builder
	t.head(&b, widths)
	var above []string
	for _, row := range t.rows {
		if row.cells == nil {
			b.WriteString(row.text + "\n")
			above = nil
			continue
		}
		writeRow(&b, t.merge(row.cells, above), widths)
		above = row.cells
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// merge blanks the cells that repeat what stands above them.
func (t *table) merge(cells, above []string) []string {
	shown, same := make([]string, len(cells)), above != nil
	for i, cell := range cells {
		same = same && (!t.merged[i] || cell == above[i])
		if !same || !t.merged[i] {
			shown[i] = cell
		}
	}
	return shown
}

// widths are as wide as the cells need, as long as the table does not become too wide.
func (t *table) widths() []int {
	widths, sum := make([]int, len(t.titles)), 3*len(t.titles)-1
	for i, title := range t.titles {
		widths[i] = utf8.RuneCountInString(title)
		for _, row := range t.rows {
			if row.cells != nil {
				widths[i] = max(widths[i], utf8.RuneCountInString(row.cells[i]))
			}
		}
		sum += widths[i]
	}
	for ; sum > t.width && t.keep < len(widths); sum-- {
		widest := t.keep
		for i := t.keep; i < len(widths); i++ {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			break
		}
		widths[widest]--
	}
	return widths
}

// writeRow writes a row, in several lines where cells are wider than their column.
func writeRow(b *strings.Builder, cells []string, widths []int) {
	rest := make([][]rune, len(cells))
	for i, cell := range cells {
		rest[i] = []rune(cell)
	}
	for more := true; more; {
		more = false
		var line strings.Builder
		for i, width := range widths {
			if i > 0 {
				line.WriteString(" │")
			}
			n := breakAt(rest[i], width)
			line.WriteString(" " + string(rest[i][:n]) + strings.Repeat(" ", width-n))
			for rest[i] = rest[i][n:]; len(rest[i]) > 0 && rest[i][0] == ' '; {
				rest[i] = rest[i][1:]
			}
			more = more || len(rest[i]) > 0
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// breakAt is how much of a text fits into a line; where it does not fit as a whole it ends
// after a space or, where there is none in the second half, after a separator: so an address, or a
// word of an identity, stays whole if it can.
func breakAt(text []rune, width int) int {
	if len(text) <= width {
		return len(text)
	}
	for _, ends := range []string{" ", ",;/:", "(="} {
		for n := width; n > width/2; n-- {
			if strings.ContainsRune(ends, text[n-1]) {
				return n
			}
		}
	}
	return width
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
