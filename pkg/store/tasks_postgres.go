// SPDX-License-Identifier: AGPL-3.0-or-later

package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/z4jdev/z4j/pkg/store/internal/db"
)

// pgTaskScan reads rows of taskColumns from PostgreSQL. A page has 50 rows of 27 columns: finding out by reflection what each of
// them is and how to read it was a sixth of the processor time of a list.
type pgTaskScan struct {
	// plain says that each column has the type and the form that decode knows.
	plain, looked bool
}

// pgEpoch is where PostgreSQL's times begin, in microseconds.
var pgEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// taskForms are the forms of taskColumns in their order: i an integer, t a time, s a text.
const taskForms = "iiisiiiiiii" + "ttttttt" + "sss" + "ssssss"

func (r *pgTaskScan) scan(rows pgx.Rows, t *db.Task) error {
	if !r.looked {
		r.looked, r.plain = true, plainTask(rows.FieldDescriptions())
	}
	raw := rows.RawValues()
	if !r.plain || len(raw) != len(taskForms) {
		return scanTask(rows, t)
	}
	return decodeTask(raw, t)
}

func plainTask(fields []pgconn.FieldDescription) bool {
	if len(fields) != len(taskForms) {
		return false
	}
	for i, f := range fields {
		switch f.DataTypeOID {
		case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
			if taskForms[i] != 'i' || f.Format != pgx.BinaryFormatCode {
				return false
			}
		case pgtype.TimestamptzOID:
			if taskForms[i] != 't' || f.Format != pgx.BinaryFormatCode {
				return false
			}
		case pgtype.TextOID:
			if taskForms[i] != 's' {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// decodeTask reads the values of a row, nil where the column is NULL.
func decodeTask(raw [][]byte, t *db.Task) error {
	// One allocation for all that is optional.
	cells := new(struct {
		ints  [3]int64
		times [5]time.Time
		texts [9]string
	})
	ints, times, texts := cells.ints[:], cells.times[:], cells.texts[:]
	var bad error
	integer := func(b []byte) int64 {
		switch len(b) {
		case 2:
			return int64(int16(binary.BigEndian.Uint16(b))) //nolint:gosec // two's complement
		case 4:
			return int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // likewise
		case 8:
			return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // likewise
		}
		bad = fmt.Errorf("an integer of %d bytes", len(b))
		return 0
	}
	moment := func(b []byte) time.Time {
		if len(b) != 8 {
			bad = fmt.Errorf("a time of %d bytes", len(b))
			return time.Time{}
		}
		return time.UnixMicro(pgEpoch + int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // likewise
	}
	text := func(b []byte) string { return string(b) }
	someInt := func(b []byte) *int64 { return unlessNull(&ints, b, integer) }
	someTime := func(b []byte) *time.Time { return unlessNull(&times, b, moment) }
	someText := func(b []byte) *string { return unlessNull(&texts, b, text) }
	t.ID, t.ProjectID, t.EngineID, t.TaskID, t.NameID = integer(raw[0]), integer(raw[1]), integer(raw[2]), string(raw[3]), integer(raw[4])
	t.QueueID, t.WorkerID = someInt(raw[5]), someInt(raw[6])
	t.State, t.Priority, t.RetryCount, t.RuntimeMS = integer(raw[7]), integer(raw[8]), integer(raw[9]), someInt(raw[10])
	t.Eta, t.ReceivedAt, t.StartedAt, t.FinishedAt, t.LastFailedAt = someTime(raw[11]), someTime(raw[12]), someTime(raw[13]), someTime(raw[14]), someTime(raw[15])
	t.SeenAt, t.UpdatedAt = moment(raw[16]), moment(raw[17])
	t.Fingerprint, t.ParentTaskID, t.RootTaskID = someText(raw[18]), someText(raw[19]), someText(raw[20])
	t.Tags, t.Args, t.Kwargs, t.Result = someText(raw[21]), someText(raw[22]), someText(raw[23]), someText(raw[24])
	t.Exception, t.Traceback = someText(raw[25]), someText(raw[26])
	return bad
}

// unlessNull reads a value into the next of cells, none where the column is NULL.
func unlessNull[T any](cells *[]T, b []byte, read func([]byte) T) *T {
	if b == nil {
		return nil
	}
	v := &(*cells)[0]
	*cells, *v = (*cells)[1:], read(b)
	return v
}
