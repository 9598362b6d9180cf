// SPDX-License-Identifier: AGPL-3.0-or-later

// Package sheet writes tables as CSV, JSON or XLSX row by row, so that an export never has to fit in memory. In the
// two forms that spreadsheets open, texts that would be taken for a formula are defused.
package sheet

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Format is a file format.
type Format string

// Formats.
const (
	CSV  Format = "csv"
	JSON Format = "json"
	XLSX Format = "xlsx"
)

// ContentType is the media type of the format.
func (f Format) ContentType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8"
	case XLSX:
		return "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	case JSON:
	}
	return "application/json"
}

// Writer takes rows of the columns it was made with. A cell is nil, a string, an int64, a float64, a bool or a
// json.RawMessage. Close ends the document; it does not close what is written to.
type Writer interface {
	Row(cells []any) error
	Close() error
}

// New starts a document. name is the sheet's name in XLSX.
func New(f Format, w io.Writer, name string, columns []string) (Writer, error) {
	switch f {
	case CSV:
		return newCSV(w, columns)
	case JSON:
		return newJSON(w, columns)
	case XLSX:
		return newXLSX(w, name, columns)
	}
	return nil, fmt.Errorf("no export format %q", f)
}

// defuse puts an apostrophe before texts that a spreadsheet would run as a formula.
func defuse(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// text is a cell as a spreadsheet shows it.
func text(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case string:
		return defuse(v)
	case json.RawMessage:
		if len(v) == 0 || string(v) == "null" {
			return ""
		}
		return defuse(string(v))
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return defuse(fmt.Sprint(cell))
}

type csvWriter struct {
	w    *csv.Writer
	line []string
}

func newCSV(w io.Writer, columns []string) (*csvWriter, error) {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	return &csvWriter{w: c, line: make([]string, len(columns))}, c.Write(columns)
}

func (c *csvWriter) Row(cells []any) error {
	for i, cell := range cells {
		c.line[i] = text(cell)
	}
	return c.w.Write(c.line)
}

func (c *csvWriter) Close() error {
	c.w.Flush()
	return c.w.Error()
}

// jsonWriter writes a list of objects whose members keep the order of the columns.
type jsonWriter struct {
	w     *bufio.Writer
	names [][]byte
	first bool
}

func newJSON(w io.Writer, columns []string) (*jsonWriter, error) {
	j := &jsonWriter{w: bufio.NewWriter(w), first: true}
	for _, c := range columns {
		name, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		j.names = append(j.names, name)
	}
	return j, j.w.WriteByte('[')
}

// Row writes one object. bufio keeps the first error for Close, so that only the last call need look.
func (j *jsonWriter) Row(cells []any) error {
	if !j.first {
		_ = j.w.WriteByte(',')
	}
	j.first = false
	_ = j.w.WriteByte('{')
	for i, cell := range cells {
		if i > 0 {
			_ = j.w.WriteByte(',')
		}
		_, _ = j.w.Write(j.names[i])
		_ = j.w.WriteByte(':')
		if raw, ok := cell.(json.RawMessage); ok && len(raw) == 0 {
			cell = nil
		}
		value, err := json.Marshal(cell)
		if err != nil {
			return err
		}
		_, _ = j.w.Write(value)
	}
	return j.w.WriteByte('}')
}

func (j *jsonWriter) Close() error {
	_ = j.w.WriteByte(']')
	return j.w.Flush()
}
