// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestNotesSurviveTheUpgradeAndTheWayBack(t *testing.T) {
	t.Parallel()
	url := database(t)
	first := migrated(t, url, "1.0.0")
	old, err := first.add(t.Context(), "", "written by the first release")
	if err != nil {
		t.Fatal(err)
	}
	if got := appliedOf(t.Context(), t, first); got != "1" {
		t.Fatalf("1.0.0 wrote migrations %q, want 1", got)
	}

	second := migrated(t, url, "1.1.0")
	if got := appliedOf(t.Context(), t, second); got != "1 2" {
		t.Fatalf("1.1.0 has migrations %q, want 1 2", got)
	}
	got, err := second.get(t.Context(), old.ID)
	if err != nil || got.Content != old.Content || got.Title == nil || *got.Title != "" || !got.Created.Equal(old.Created) {
		t.Fatalf("after the upgrade: %+v, %v; want %+v with an empty title", got, err, old)
	}
	if _, err := second.add(t.Context(), "new", "written by the second"); err != nil {
		t.Fatal(err)
	}

	// During a rollout both run, and after it one may go back.
	if _, err := first.add(t.Context(), "", "the first goes on"); err != nil {
		t.Fatal(err)
	}
	back := migrated(t, url, "1.0.0")
	notes, err := back.list(t.Context(), math.MaxInt64, 10)
	if err != nil || len(notes) != 3 || notes[0].Content != "the first goes on" || notes[0].Title != nil {
		t.Fatalf("back at 1.0.0: %+v, %v", notes, err)
	}
}

func TestReplicasMigrateAtOnce(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"", "1.0.0"} {
		url := database(t)
		if from != "" {
			migrated(t, url, from)
		}
		var work sync.WaitGroup
		var all [6]int
		for i := range all {
			s := storeOf(t, url, "1.1.0")
			work.Go(func() {
				n, err := s.migrate(t.Context())
				if err != nil {
					t.Errorf("from %q: %v", from, err)
				}
				all[i] = n
			})
		}
		work.Wait()
		sum, want := 0, 2
		for _, n := range all {
			sum += n
		}
		if from != "" {
			want = 1
		}
		if sum != want {
			t.Errorf("from %q: replicas did %v migrations, want %d in all", from, all, want)
		}
	}
}

func TestAMigrationThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	url := database(t)
	s := migrated(t, url, "1.0.0")
	s.release.migrations = append(s.release.migrations[:1:1], addTitle, "alter table absent add column x text")
	if _, err := s.migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "migration 3") {
		t.Fatalf("got %v, want an error of migration 3", err)
	}
	if got := appliedOf(t.Context(), t, s); got != "1" {
		t.Errorf("migrations %q are there, want 1", got)
	}
	if err := storeOf(t, url, "1.1.0").check(t.Context()); err == nil {
		t.Error("a title is there, though its migration was taken back")
	}
}

func TestABrokenReleaseSaysWhatItMisses(t *testing.T) {
	t.Parallel()
	s := migrated(t, database(t), "1.2.0")
	err := s.check(t.Context())
	if err == nil || !strings.Contains(reason(err), `"pinned" does not exist`) {
		t.Fatalf("got %v, want that pinned is missing", err)
	}
}

// The chart gives all but the way to connect in variables of their own.
func TestWhatTheURLLeavesOutIsInTheEnvironment(t *testing.T) {
	url := database(t)
	t.Setenv("PGHOST", postgres.folder)
	t.Setenv("PGPORT", "5432")
	t.Setenv("PGUSER", "tester")
	t.Setenv("PGPASSWORD", `a/b@c:d?e=' "f\%`)
	t.Setenv("PGDATABASE", url[strings.Index(url, "dbname=")+len("dbname="):strings.Index(url, " sslmode")])
	migrated(t, url, "1.1.0")
	if err := storeOf(t, "postgres:///?sslmode=disable", "1.1.0").check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNotesAreListedAndRemoved(t *testing.T) {
	t.Parallel()
	s := migrated(t, database(t), "1.1.0")
	var ids []int64
	for _, text := range []string{"a", "b", "c"} {
		n, err := s.add(t.Context(), text, text)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, n.ID)
	}
	page, err := s.list(t.Context(), ids[2], 1)
	if err != nil || len(page) != 1 || page[0].Content != "b" {
		t.Fatalf("the page before %d: %+v, %v", ids[2], page, err)
	}
	if err := s.remove(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	if err := s.remove(t.Context(), ids[1]); !errors.Is(err, errNoNote) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.get(t.Context(), ids[1]); !errors.Is(err, errNoNote) {
		t.Errorf("got after it was removed: %v", err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "postgres://u:quite-secret@host:port/x", "postgres://u:quite-secret@[::1/x", "password='quite-secret"} {
		_, err := openStore(url, releaseOf("1.0.0"))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	s := storeOf(t, addressIn(filepath.Join(t.TempDir(), "nobody-here"), "x"), "1.0.0")
	err := s.check(t.Context())
	if err == nil || strings.Contains(err.Error(), "quite-secret") {
		t.Errorf("got %v", err)
	}
	if got := reason(err); got != "the database does not answer" {
		t.Errorf("told: %s", got)
	}
}
