// SPDX-License-Identifier: AGPL-3.0-or-later

package sheet

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func render(t *testing.T, f Format, columns []string, rows ...[]any) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := New(f, &out, "tasks & <co>", columns)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Row(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var columns = []string{"a", "b", "c"}

func TestCSV(t *testing.T) {
	got := render(t, CSV, columns, []any{"x,y", int64(-5), nil}, []any{"=1+1", "@x", json.RawMessage(`["q"]`)}, []any{"-a", "\tb", "+c"})
	want := "a,b,c\r\n\"x,y\",-5,\r\n'=1+1,'@x,\"[\"\"q\"\"]\"\r\n'-a,'\tb,'+c\r\n"
	if string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := string(render(t, CSV, columns)); got != "a,b,c\r\n" {
		t.Errorf("empty: %q", got)
	}
}

func TestJSON(t *testing.T) {
	got := render(t, JSON, columns, []any{"=x", int64(5), nil}, []any{json.RawMessage(nil), json.RawMessage(`{"k":1}`), 0.5})
	if want := `[{"a":"=x","b":5,"c":null},{"a":null,"b":{"k":1},"c":0.5}]`; string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := string(render(t, JSON, columns)); got != "[]" {
		t.Errorf("empty: %q", got)
	}
}

func TestXLSX(t *testing.T) {
	data := render(t, XLSX, columns,
		[]any{"=cmd|' /C calc'!A0", int64(42), true},
		[]any{"<&>\x00\n", nil, int64(1) << 60},
		[]any{strings.Repeat("é", 40000), 0.25, json.RawMessage(`null`)})
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var sheet struct {
		Rows []struct {
			Cells []struct {
				Ref  string `xml:"r,attr"`
				Type string `xml:"t,attr"`
				V    string `xml:"v"`
				Text string `xml:"is>t"`
			} `xml:"c"`
		} `xml:"sheetData>row"`
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var into any = &struct{ XMLName xml.Name }{}
		if f.Name == "xl/worksheets/sheet1.xml" {
			into = &sheet
		}
		if err := xml.Unmarshal(content, into); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if len(z.File) != 6 || len(sheet.Rows) != 4 {
		t.Fatalf("%d parts, %d rows", len(z.File), len(sheet.Rows))
	}
	first, second, third := sheet.Rows[1].Cells, sheet.Rows[2].Cells, sheet.Rows[3].Cells
	if sheet.Rows[0].Cells[2].Text != "c" || first[0].Ref != "A2" || first[0].Text != "'=cmd|' /C calc'!A0" || first[1].V != "42" || first[2].Type != "b" {
		t.Errorf("first row: %+v", first)
	}
	if second[0].Text != "<&>\ufffd\n" || len(second) != 2 || second[1].Ref != "C3" || second[1].Text != "1152921504606846976" {
		t.Errorf("second row: %+v", second)
	}
	if len([]rune(third[0].Text)) != maxCell || third[1].V != "0.25" || len(third) != 2 {
		t.Errorf("third row: %d cells", len(third))
	}
	for i, want := range map[int]string{0: "A", 25: "Z", 26: "AA", 701: "ZZ", 702: "AAA"} {
		if got := columnRef(i); got != want {
			t.Errorf("column %d is %s, want %s", i, got, want)
		}
	}
}
