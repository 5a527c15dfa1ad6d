// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Note is what is kept. What a release does not know is nil, and left out of its answers.
type Note struct {
	ID      int64     `json:"id"`
	Title   *string   `json:"title,omitempty"`
	Content string    `json:"content"`
	Pinned  *bool     `json:"pinned,omitempty"`
	Created time.Time `json:"created_at"`
}

const (
	connectTimeout = 3 * time.Second
	maxConnections = 8
	// migrationLock is the advisory lock under which replicas migrate; the number means nothing, but all replicas must agree on it.
	migrationLock = 0x6e6f746573 // "notes"
	// lockTimeout keeps a migration that waits for a busy table from stopping everybody behind it. It is tried again.
	lockTimeout = "5s"
)

// errNoNote says that there is no note of that number.
var errNoNote = errors.New("there is no such note")

// store is the table of notes as one release sees it.
type store struct {
	db      *sql.DB
	release release
}

// openStore does not connect yet. Its error does not repeat url, which may hold a password.
func openStore(url string, r release) (*store, error) {
	if url == "" {
		return nil, errors.New("DATABASE_URL is not set; it says where PostgreSQL is, as in postgres://host:5432/name")
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL is not a connection string of PostgreSQL, such as postgres://host:5432/name")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.RuntimeParams["application_name"] = "notes/" + version
	db := stdlib.OpenDB(*c)
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections / 2)
	db.SetConnMaxLifetime(30 * time.Minute)
	return &store{db: db, release: r}, nil
}

func (s *store) close() error { return s.db.Close() }

// migrate does what the release has to add and the database does not have yet, all of it or nothing, and says how many migrations
// that were. Replicas that start at once do so one after the other. A database that is ahead of the release is left as it is.
func (s *store) migrate(ctx context.Context) (int, error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback() // after a commit there is nothing to take back
	for _, statement := range []string{
		fmt.Sprintf("set local lock_timeout = '%s'", lockTimeout),
		fmt.Sprintf("select pg_advisory_xact_lock(%d)", migrationLock),
		"create table if not exists schema_migrations (version integer primary key, applied_at timestamptz not null default now())",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return 0, err
		}
	}
	var there int
	if err := tx.QueryRowContext(ctx, "select coalesce(max(version), 0) from schema_migrations").Scan(&there); err != nil {
		return 0, err
	}
	wanted := s.release.migrations
	for i := there; i < len(wanted); i++ {
		if _, err := tx.ExecContext(ctx, wanted[i]); err != nil {
			return 0, fmt.Errorf("migration %d: %w", i+1, err)
		}
		if _, err := tx.ExecContext(ctx, "insert into schema_migrations (version) values ($1)", i+1); err != nil {
			return 0, fmt.Errorf("migration %d: %w", i+1, err)
		}
	}
	return max(0, len(wanted)-there), tx.Commit()
}

// check says whether the database answers, and has all that the release reads.
func (s *store) check(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "select "+s.release.columns()+" from notes limit 0")
	return err
}

// list gives up to limit notes, the newest first, of those with numbers below before.
func (s *store) list(ctx context.Context, before int64, limit int) ([]Note, error) {
	rows, err := s.db.QueryContext(ctx, "select "+s.release.columns()+" from notes where id < $1 order by id desc limit $2", before, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	notes := []Note{}
	for rows.Next() {
		n, err := s.scan(rows)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, rows.Err()
}

// get returns errNoNote where there is none.
func (s *store) get(ctx context.Context, id int64) (Note, error) {
	n, err := s.scan(s.db.QueryRowContext(ctx, "select "+s.release.columns()+" from notes where id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoNote
	}
	return n, err
}

// add keeps a note, whose title is empty in a release that knows none.
func (s *store) add(ctx context.Context, title, content string) (Note, error) {
	query, args := "insert into notes (content) values ($1) returning ", []any{content}
	if s.release.titled {
		query, args = "insert into notes (content, title) values ($1, $2) returning ", []any{content, title}
	}
	return s.scan(s.db.QueryRowContext(ctx, query+s.release.columns(), args...))
}

// remove returns errNoNote where there is none.
func (s *store) remove(ctx context.Context, id int64) error {
	done, err := s.db.ExecContext(ctx, "delete from notes where id = $1", id)
	if err != nil {
		return err
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		err = errNoNote
	}
	return err
}

// scan reads a row with the columns of the release.
func (s *store) scan(row interface{ Scan(...any) error }) (Note, error) {
	var n Note
	into := []any{&n.ID, &n.Content, &n.Created}
	if s.release.titled {
		into = append(into, &n.Title)
	}
	if s.release.pinned {
		into = append(into, &n.Pinned)
	}
	err := row.Scan(into...)
	n.Created = n.Created.UTC()
	return n, err
}

// reason is what may be told of an error of the database: its own words, or that it does not answer. What the driver says beside
// that, addresses for instance, is for the log.
func reason(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Message
	}
	return "the database does not answer"
}

// noTable says that the database answers but has lost its tables.
func noTable(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "42P01" // undefined_table
}
