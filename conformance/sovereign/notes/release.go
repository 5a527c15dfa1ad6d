// SPDX-License-Identifier: Apache-2.0

package main

// release is what differs between the releases of this service.
type release struct {
	titled     bool     // notes have a title
	pinned     bool     // notes can be pinned
	migrations []string // that make the tables what the release expects; a release only adds to those of the release before
}

// The migrations, numbered from 1. The first makes the table as 1.0.0 knows it.
const (
	createNotes = `create table notes (
		id         bigint generated always as identity primary key,
		content    text not null,
		created_at timestamptz not null default now())`
	addTitle = `alter table notes add column title text not null default ''`
)

// releaseOf says what a version knows. What follows 1.0.0 migrates.
func releaseOf(version string) release {
	switch version {
	case "1.0.0":
		return release{migrations: []string{createNotes}}
	case "1.2.0":
		// The mistake that the scenario needs, and a common one: the code reads a new column, and the migration that adds it was
		// forgotten. Such a pod lives but never gets ready, and a rollout that waits for it goes back.
		return release{titled: true, pinned: true, migrations: []string{createNotes, addTitle}}
	default:
		return release{titled: true, migrations: []string{createNotes, addTitle}}
	}
}

// columns are those of the table notes that the release reads. They are named, never "*": a release must not mind
// what a later one has added, because both run at once during an upgrade and after going back.
func (r release) columns() string {
	c := "id, content, created_at"
	if r.titled {
		c += ", title"
	}
	if r.pinned {
		c += ", pinned"
	}
	return c
}
