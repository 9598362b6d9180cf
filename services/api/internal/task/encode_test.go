// SPDX-License-Identifier: AGPL-3.0-or-later

package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/z4jdev/z4j/pkg/httpx"
)

// fill sets every member of a struct to something; those that may be absent are so now and then.
func fill(t *testing.T, v reflect.Value, rng *rand.Rand) {
	t.Helper()
	texts := []string{"", "plain", "a \"quoted\"\n\ttext\\", "<b>&amp;", "Grüße, 世界 \U0001F600", "\x00\x1f\x7f", "bad \xff utf-8", "line\u2028end"}
	for _, f := range v.Fields() {
		absent := rng.IntN(3) == 0
		switch f.Addr().Interface().(type) {
		case *uuid.UUID:
			f.Set(reflect.ValueOf(uuid.New()))
		case *json.RawMessage:
			if !absent {
				f.Set(reflect.ValueOf(json.RawMessage([]string{`{"a":[1,"é"]}`, `[]`, `"text"`, `null`, `12.5`}[rng.IntN(5)])))
			}
		case *httpx.Time:
			f.Set(reflect.ValueOf(httpx.NewTime(time.UnixMicro(rng.Int64N(4e15)))))
		case **httpx.Time:
			if !absent {
				at := httpx.NewTime(time.UnixMicro(rng.Int64N(4e15)))
				f.Set(reflect.ValueOf(&at))
			}
		case *string:
			f.SetString(texts[rng.IntN(len(texts))])
		case **string:
			if !absent {
				f.Set(reflect.ValueOf(&texts[rng.IntN(len(texts))]))
			}
		case *[]string:
			if !absent {
				f.Set(reflect.ValueOf(texts[:rng.IntN(len(texts))]))
			}
		case *int64:
			f.SetInt(rng.Int64() - rng.Int64())
		case **int64:
			if !absent {
				n := rng.Int64N(1e6)
				f.Set(reflect.ValueOf(&n))
			}
		case *[]TaskPublic:
			f.Set(reflect.MakeSlice(f.Type(), rng.IntN(3), 3))
			for i := range f.Len() {
				fill(t, f.Index(i), rng)
			}
		default:
			t.Fatalf("the test knows no %s", f.Type())
		}
	}
}

// TestTaskListJSON: a page of tasks reads the same whoever encodes it, whatever is in it.
func TestTaskListJSON(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var list TaskListResponse
		fill(t, reflect.ValueOf(&list).Elem(), rng)
		got, err := httpx.EncodeJSON(list)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(list); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, bytes.TrimSpace(want.Bytes())) {
			t.Fatalf("encoded as\n%s\nwant\n%s", got, want.Bytes())
		}
	}
	for name, bad := range map[string]TaskPublic{
		"no JSON": {Args: json.RawMessage(`{"a":`)},
		"no year": {UpdatedAt: httpx.NewTime(time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))},
	} {
		if got, err := httpx.EncodeJSON(TaskListResponse{Items: []TaskPublic{bad}}); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func BenchmarkTaskListJSON(b *testing.B) {
	list := TaskListResponse{Items: make([]TaskPublic, 50)}
	for i := range list.Items {
		at := httpx.NewTime(time.Now())
		args := json.RawMessage(`[12345,{"sku":"SKU-1","qty":2}]`)
		list.Items[i] = TaskPublic{
			ID: uuid.New(), ProjectID: uuid.New(), Engine: "celery", TaskID: uuid.NewString(), Name: fmt.Sprintf("shop.orders.job%d", i), State: "success",
			Priority: "normal", Args: args, Kwargs: args, ReceivedAt: &at, StartedAt: &at, FinishedAt: &at, Tags: []string{}, CreatedAt: at, UpdatedAt: at,
		}
	}
	type plain TaskListResponse
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = httpx.EncodeJSON(list)
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = httpx.EncodeJSON(plain(list))
		}
	})
}
