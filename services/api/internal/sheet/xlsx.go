// SPDX-License-Identifier: AGPL-3.0-or-later

package sheet

import (
	"archive/zip"
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The parts of a workbook besides its one sheet. Texts stand inside the cells (inlineStr), because a table of shared
// strings could only be written when all rows are known.
const (
	xmlHead      = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	contentTypes = xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>`
	packageRels = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`
	workbookRels = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>` +
		`<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`
	// Style 0 is plain, style 1 the bold head.
	styles = xmlHead + `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
		`<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>` +
		`<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>` +
		`<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>` +
		`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>` +
		`<cellXfs count="2"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>` +
		`<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs>` +
		`<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>`
	sheetStart = xmlHead + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
		`<sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>`
	sheetEnd = `</sheetData></worksheet>`
)

// maxCell is the longest text a cell may hold, in UTF-16 units; longer ones are cut, as every spreadsheet would.
const maxCell = 32767

// maxExactInt is the largest whole number a spreadsheet's float holds exactly.
const maxExactInt = 1 << 53

type xlsxWriter struct {
	zip  *zip.Writer
	out  *bufio.Writer
	refs []string
	row  int
}

func newXLSX(w io.Writer, name string, columns []string) (*xlsxWriter, error) {
	x := &xlsxWriter{zip: zip.NewWriter(w)}
	workbook := xmlHead + `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" ` +
		`xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="` +
		escape(name) + `" sheetId="1" r:id="rId1"/></sheets></workbook>`
	for _, part := range []struct{ name, content string }{
		{"[Content_Types].xml", contentTypes},
		{"_rels/.rels", packageRels},
		{"xl/workbook.xml", workbook},
		{"xl/_rels/workbook.xml.rels", workbookRels},
		{"xl/styles.xml", styles},
	} {
		f, err := x.zip.Create(part.name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(f, part.content); err != nil {
			return nil, err
		}
	}
	f, err := x.zip.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return nil, err
	}
	x.out = bufio.NewWriterSize(f, 32<<10)
	_, _ = x.out.WriteString(sheetStart)
	for i := range columns {
		x.refs = append(x.refs, columnRef(i))
	}
	head := make([]any, len(columns))
	for i, c := range columns {
		head[i] = c
	}
	return x, x.write(head, ` s="1"`)
}

// columnRef is A, B ... Z, AA ...
func columnRef(i int) string {
	ref := ""
	for i++; i > 0; i = (i - 1) / 26 {
		ref = string(rune('A'+(i-1)%26)) + ref
	}
	return ref
}

func (x *xlsxWriter) Row(cells []any) error { return x.write(cells, "") }

// write adds a row. bufio keeps the first error, which the last write of the row returns.
func (x *xlsxWriter) write(cells []any, style string) error {
	x.row++
	row := strconv.Itoa(x.row)
	_, _ = x.out.WriteString(`<row r="` + row + `">`)
	for i, cell := range cells {
		if cell == nil {
			continue
		}
		ref := ` r="` + x.refs[i] + row + `"` + style
		switch v := cell.(type) {
		case int64:
			if v < maxExactInt && v > -maxExactInt {
				_, _ = x.out.WriteString(`<c` + ref + `><v>` + strconv.FormatInt(v, 10) + `</v></c>`)
				continue
			}
		case float64:
			_, _ = x.out.WriteString(`<c` + ref + `><v>` + strconv.FormatFloat(v, 'g', -1, 64) + `</v></c>`)
			continue
		case bool:
			n := "0"
			if v {
				n = "1"
			}
			_, _ = x.out.WriteString(`<c` + ref + ` t="b"><v>` + n + `</v></c>`)
			continue
		case json.RawMessage:
			if len(v) == 0 || string(v) == "null" {
				continue
			}
		}
		_, _ = x.out.WriteString(`<c` + ref + ` t="inlineStr"><is><t xml:space="preserve">` + escape(text(cell)) + `</t></is></c>`)
	}
	_, err := x.out.WriteString(`</row>`)
	return err
}

func (x *xlsxWriter) Close() error {
	_, _ = x.out.WriteString(sheetEnd)
	if err := x.out.Flush(); err != nil {
		return err
	}
	return x.zip.Close()
}

// escape makes a text fit for XML 1.0: what the format can't hold becomes the replacement character.
func escape(s string) string {
	var b strings.Builder
	units := 0
	for _, r := range s {
		if units++; r > 0xffff {
			units++
		}
		if units > maxCell {
			break
		}
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r == '\r':
			b.WriteString("&#13;")
		case r == '\t' || r == '\n' || (r >= 0x20 && r <= 0xfffd):
			b.WriteRune(r)
		case r > 0xffff:
			b.WriteRune(r)
		default:
			b.WriteRune(utf8.RuneError)
		}
	}
	return b.String()
}
