// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	queryTimeout     = 5 * time.Second // for what one request asks of the database
	migrationTimeout = 2 * time.Minute // for one attempt at the migrations
	firstPause       = 250 * time.Millisecond
	longestPause     = 5 * time.Second
)

// server answers for one store.
type server struct {
	store   *store
	log     *slog.Logger
	missing atomic.Pointer[string] // why the tables are not yet what the release needs; nil: they are
	gone    chan struct{}          // somebody found that the tables are there no more
}

func newServer(s *store, log *slog.Logger) *server {
	srv := &server{store: s, log: log, gone: make(chan struct{}, 1)}
	srv.lacks("the database was not reached yet")
	return srv
}

func (s *server) lacks(what string) { s.missing.Store(&what) }

// prepare keeps the tables as the release needs them until ctx ends: the database may come later than this process, and may come
// back empty.
func (s *server) prepare(ctx context.Context) {
	for s.migrated(ctx) {
		s.missing.Store(nil)
		select {
		case <-ctx.Done():
			return
		case <-s.gone:
		}
	}
}

// migrated migrates, and tries until it has succeeded; false: ctx has ended.
func (s *server) migrated(ctx context.Context) bool {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		attempt, cancel := context.WithTimeout(ctx, migrationTimeout)
		done, err := s.store.migrate(attempt)
		cancel()
		if err == nil {
			s.log.Info("the database has all migrations", "done now", done)
			return true
		}
		s.lacks(reason(err))
		s.log.Warn("the database is not ready, tried again", "error", err.Error(), "in", pause.String())
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// handler has all that the service answers to.
func (s *server) handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", s.healthz)
	m.HandleFunc("GET /readyz", s.readyz)
	m.HandleFunc("GET /version", s.version)
	m.HandleFunc("GET /notes", s.listNotes)
	m.HandleFunc("POST /notes", s.addNote)
	m.HandleFunc("GET /notes/{id}", s.getNote)
	m.HandleFunc("DELETE /notes/{id}", s.removeNote)
	m.HandleFunc("GET /{$}", s.page)
	m.Handle("GET /ui/", http.FileServerFS(pageFiles))
	m.HandleFunc("GET /.well-known/open-resource-discovery", document("application/json", discovery))
	m.HandleFunc("GET /ord/v1/document", document("application/json", ordDocument))
	m.HandleFunc("GET /openapi.yaml", document("text/yaml; charset=utf-8", openAPI))
	// Pages of other sites, open in the browser of somebody who can reach this one, must not write here.
	return s.logged(http.NewCrossOriginProtection().Handler(m))
}

// logged sets what all answers have in common, bounds what they may take, and notes each in the log: never more of a request than
// its kind. Probes that succeed are not worth a line.
func (s *server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), queryTimeout)
		defer cancel()
		r = r.WithContext(ctx)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		if probe := r.Pattern == "GET /healthz" || r.Pattern == "GET /readyz"; probe && seen.status == http.StatusOK {
			return
		}
		s.log.Info("request", "pattern", r.Pattern, "status", seen.status, "milliseconds", time.Since(start).Milliseconds())
	})
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
