// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"embed"
	"html/template"
	"math"
	"net/http"
	"time"
)

// pageFiles are what the page needs: it comes from here, and from nowhere else.
//
//go:embed ui/style.css ui/script.js ui/icon.svg
var pageFiles embed.FS

//go:embed ui/page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"day":     func(t time.Time) string { return t.Format("2 January 2006, 15:04") + " UTC" },
	"machine": func(t time.Time) string { return t.Format(time.RFC3339) },
}).Parse(pageText))

// page shows the newest notes, and a form for another. All that people wrote is escaped by the template.
func (s *server) page(w http.ResponseWriter, r *http.Request) {
	status, problem := http.StatusOK, ""
	notes, err := s.store.list(r.Context(), math.MaxInt64, defaultLimit)
	if err != nil {
		s.log.Error("the database failed", "error", err.Error())
		status, problem = http.StatusServiceUnavailable, reason(err)
	}
	var b bytes.Buffer
	err = pageTemplate.Execute(&b, map[string]any{
		"Notes": notes, "Problem": problem, "Titled": s.store.release.titled, "Version": version,
		"MaxTitle": maxTitle, "MaxContent": maxContent,
	})
	if err != nil {
		s.log.Error("the page cannot be written", "error", err.Error())
		s.refuse(w, http.StatusInternalServerError, "the page cannot be written")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes()) // whoever asked has gone
}
