// SPDX-License-Identifier: AGPL-3.0-or-later

package schema

import (
	"io/fs"
	"regexp"
	"strings"
	"testing"
)

// contracting finds what would break the version before, which goes on running on the newer schema while replicas are
// replaced one by one.
var contracting = regexp.MustCompile(`(?i)\b(DROP\s+(TABLE|COLUMN)|RENAME\s+(TO|COLUMN)|ALTER\s+COLUMN\s+\w+\s+(SET\s+NOT\s+NULL|TYPE|SET\s+DATA\s+TYPE))\b|ADD\s+COLUMN\s+(IF\s+NOT\s+EXISTS\s+)?\w+\s+[\w()]+\s+NOT\s+NULL\s*[,;]`)

// marker, in a migration, names the release whose versions no longer need what it takes away.
const marker = "-- contract:"

// TestMigrationsOnlyAdd checks the rule that migrations expand, and contract only with a word on since when nobody needs what
// goes.
func TestMigrationsOnlyAdd(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(Migrations, "*/migration/*.sql")
	if err != nil || len(files) < 8 {
		t.Fatalf("migrations %v, %v", files, err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(Migrations, file)
		if err != nil {
			t.Fatal(err)
		}
		up, _, _ := strings.Cut(string(text), "-- +goose Down")
		if found := contracting.FindString(up); found != "" && !strings.Contains(up, marker) {
			t.Errorf("%s: %q breaks the version before it, which runs beside the new one: add now and take away in a later release, marked %q with the release since which nobody needs it", file, found, marker)
		}
	}
	for statement, want := range map[string]bool{
		"ALTER TABLE tasks DROP COLUMN eta;": true, "ALTER TABLE a RENAME TO b;": true, "ALTER TABLE tasks RENAME COLUMN a TO b;": true, "drop table tasks;": true,
		"ALTER TABLE t ALTER COLUMN a SET NOT NULL;": true, "ALTER TABLE t ALTER COLUMN a TYPE text;": true, "ALTER TABLE t ADD COLUMN a bigint NOT NULL;": true,
		"ALTER TABLE t ADD COLUMN a bigint NOT NULL DEFAULT 0;": false, "ALTER TABLE t ADD COLUMN a text;": false, "DROP INDEX tasks_state;": false,
	} {
		if contracting.MatchString(statement) != want {
			t.Errorf("%s: found %t, want %t", statement, !want, want)
		}
	}
}
