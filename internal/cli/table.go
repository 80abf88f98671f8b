package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table lines up rows in columns. A column whose title starts with ">" is
// aligned to the right, as numbers should be.
type Table struct {
	titles []string
	right  []bool
	rows   [][]string
}

// NewTable starts a table with the given titles.
func NewTable(titles ...string) *Table {
	t := &Table{}
	for _, title := range titles {
		name, right := strings.CutPrefix(title, ">")
		t.titles = append(t.titles, name)
		t.right = append(t.right, right)
	}
	return t
}

// Row adds a row. Cells are printed as they are: quote strangers' names with
// [Name] first. It panics when the number of cells differs from the titles.
func (t *Table) Row(cells ...string) {
	if len(cells) != len(t.titles) {
		panic("cli: internal error: row does not fit the table")
	}
	t.rows = append(t.rows, cells)
}

// Write prints the titles, when any is not empty, and the rows to w.
func (t *Table) Write(w io.Writer) error {
	widths := t.widths()
	if strings.Join(t.titles, "") != "" {
		if err := t.line(w, t.titles, widths); err != nil {
			return err
		}
	}
	for _, row := range t.rows {
		if err := t.line(w, row, widths); err != nil {
			return err
		}
	}
	return nil
}

func (t *Table) widths() []int {
	widths := make([]int, len(t.titles))
	for _, row := range append([][]string{t.titles}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func (t *Table) line(w io.Writer, cells []string, widths []int) error {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if t.right[i] {
			b.WriteString(gap + cell)
		} else {
			b.WriteString(cell + gap)
		}
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	return err
}
