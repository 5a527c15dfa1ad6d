// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxBody      = 64 << 10 // bytes of what is posted
	maxTitle     = 200      // characters
	maxContent   = 10_000   // characters
	defaultLimit = 100      // notes in a list
	maxLimit     = 500
)

// healthz says that the process lives. It asks nobody: a database that is away is no reason to start this process anew.
func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, map[string]string{"status": "alive"})
}

// readyz says whether requests can be answered.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	missing := s.missing.Load()
	if missing == nil {
		if err := s.store.check(r.Context()); err != nil {
			s.log.Warn("not ready", "error", err.Error())
			why := reason(err)
			missing = &why
			if noTable(err) {
				select {
				case s.gone <- struct{}{}:
				default: // it is known already
				}
			}
		}
	}
	if missing != nil {
		s.answer(w, http.StatusServiceUnavailable, map[string]string{"status": "not ready", "reason": *missing})
		return
	}
	s.answer(w, http.StatusOK, map[string]string{"status": "ready"})
}

func (s *server) version(w http.ResponseWriter, _ *http.Request) {
	s.answer(w, http.StatusOK, map[string]string{"version": version})
}

// listNotes gives the newest first; ?limit=, and ?before= with the number of the last note of the page before, turn pages.
func (s *server) listNotes(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit, err := number(q.Get("limit"), defaultLimit, maxLimit)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "limit: "+err.Error())
		return
	}
	before, err := number(q.Get("before"), math.MaxInt64, math.MaxInt64)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "before: "+err.Error())
		return
	}
	notes, err := s.store.list(r.Context(), before, int(limit))
	if err != nil {
		s.failed(w, err)
		return
	}
	s.answer(w, http.StatusOK, notes)
}

// addNote answers with the note, and with where it is.
func (s *server) addNote(w http.ResponseWriter, r *http.Request) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		s.refuse(w, http.StatusUnsupportedMediaType, "the Content-Type of a note is application/json")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		s.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a note has at most %d bytes", maxBody))
		return
	}
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "the request is cut short")
		return
	}
	title, content, err := parseNote(body, s.store.release.titled)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	n, err := s.store.add(r.Context(), title, content)
	if err != nil {
		s.failed(w, err)
		return
	}
	w.Header().Set("Location", "/notes/"+strconv.FormatInt(n.ID, 10))
	s.answer(w, http.StatusCreated, n)
}

// parseNote reads what was posted. A release that knows no titles refuses them: kept without it, a note would lose something.
func parseNote(body []byte, titled bool) (title, content string, err error) {
	if !utf8.Valid(body) {
		return "", "", errors.New("the note is not UTF-8")
	}
	var in struct {
		Title   *string `json:"title"`
		Content string  `json:"content"`
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return "", "", errors.New(`a note is a JSON object such as {"content": "milk"}: ` + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", "", errors.New("something follows the note")
	}
	if in.Title != nil {
		if !titled {
			return "", "", errors.New("title: this release knows none")
		}
		title = strings.TrimSpace(*in.Title)
	}
	switch {
	case strings.TrimSpace(in.Content) == "":
		return "", "", errors.New("content: must not be empty")
	case utf8.RuneCountInString(in.Content) > maxContent:
		return "", "", fmt.Errorf("content: at most %d characters", maxContent)
	case utf8.RuneCountInString(title) > maxTitle:
		return "", "", fmt.Errorf("title: at most %d characters", maxTitle)
	case strings.ContainsRune(title+in.Content, 0):
		return "", "", errors.New("the character U+0000 cannot be kept") // PostgreSQL has no room for it
	}
	return title, in.Content, nil
}

func (s *server) getNote(w http.ResponseWriter, r *http.Request) {
	id, err := number(r.PathValue("id"), 0, math.MaxInt64)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "id: "+err.Error())
		return
	}
	n, err := s.store.get(r.Context(), id)
	if err != nil {
		s.failed(w, err)
		return
	}
	s.answer(w, http.StatusOK, n)
}

func (s *server) removeNote(w http.ResponseWriter, r *http.Request) {
	id, err := number(r.PathValue("id"), 0, math.MaxInt64)
	if err != nil {
		s.refuse(w, http.StatusBadRequest, "id: "+err.Error())
		return
	}
	if err := s.store.remove(r.Context(), id); err != nil {
		s.failed(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// number reads what stands in a request: decimal, from 1 to most; where there is nothing, it is otherwise.
func number(text string, otherwise, most int64) (int64, error) {
	if text == "" && otherwise != 0 {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("must be a number from 1 to %d", most)
	}
	return n, nil
}

// failed answers for an error of the store.
func (s *server) failed(w http.ResponseWriter, err error) {
	if errors.Is(err, errNoNote) {
		s.refuse(w, http.StatusNotFound, err.Error())
		return
	}
	s.log.Error("the database failed", "error", err.Error())
	s.refuse(w, http.StatusServiceUnavailable, reason(err))
}

func (s *server) refuse(w http.ResponseWriter, status int, why string) {
	s.answer(w, status, map[string]string{"error": why})
}

func (s *server) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Debug("the answer was not taken", "error", err.Error())
	}
}
