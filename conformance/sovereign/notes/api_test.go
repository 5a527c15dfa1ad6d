// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// offered serves a release whose tables are made.
func offered(t *testing.T, release string) (*server, *httptest.Server) {
	t.Helper()
	s := newServer(migrated(t, database(t), release), quiet())
	s.missing.Store(nil)
	h := httptest.NewServer(s.handler())
	t.Cleanup(h.Close)
	return s, h
}

func ask(t *testing.T, method, url, body string) (int, string, http.Header) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		q.Header.Set("Content-Type", "application/json")
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return a.StatusCode, string(b), a.Header
}

func TestANoteComesAndGoes(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.1.0")
	status, body, header := ask(t, "POST", h.URL+"/notes", `{"title": "shop", "content": "milk"}`)
	if status != http.StatusCreated || !strings.HasPrefix(header.Get("Location"), "/notes/") {
		t.Fatalf("%d %s, %q", status, body, header.Get("Location"))
	}
	at := h.URL + header.Get("Location")
	for _, url := range []string{at, h.URL + "/notes"} {
		status, body, _ = ask(t, "GET", url, "")
		if status != http.StatusOK || !strings.Contains(body, `"title":"shop","content":"milk"`) {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
	if status, body, _ = ask(t, "DELETE", at, ""); status != http.StatusNoContent || body != "" {
		t.Errorf("deleted: %d %s", status, body)
	}
	if status, _, _ = ask(t, "GET", at, ""); status != http.StatusNotFound {
		t.Errorf("gone: %d", status)
	}
	if status, body, _ = ask(t, "GET", h.URL+"/notes", ""); status != http.StatusOK || strings.TrimSpace(body) != "[]" {
		t.Errorf("nothing: %d %s", status, body)
	}
}

func TestTheFirstReleaseKnowsNoTitles(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.0.0")
	if status, body, _ := ask(t, "POST", h.URL+"/notes", `{"title": "shop", "content": "milk"}`); status != http.StatusBadRequest {
		t.Errorf("%d %s", status, body)
	}
	status, body, _ := ask(t, "POST", h.URL+"/notes", `{"content": "milk"}`)
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil || status != http.StatusCreated || len(members) != 3 {
		t.Errorf("%d %s: want id, content and created_at (%v)", status, body, err)
	}
}

func TestBadInputIsRefused(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.1.0")
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"no JSON":        {"POST", "/notes", "milk", 400},
		"cut short":      {"POST", "/notes", `{"content": "mi`, 400},
		"two":            {"POST", "/notes", `{"content": "a"} {"content": "b"}`, 400},
		"no object":      {"POST", "/notes", `["a"]`, 400},
		"unknown member": {"POST", "/notes", `{"content": "a", "owner": "b"}`, 400},
		"no content":     {"POST", "/notes", `{"title": "a"}`, 400},
		"blank":          {"POST", "/notes", `{"content": " \n"}`, 400},
		"NUL":            {"POST", "/notes", `{"content": "a\u0000b"}`, 400},
		"NUL in title":   {"POST", "/notes", `{"title": "\u0000", "content": "b"}`, 400},
		"not UTF-8":      {"POST", "/notes", "{\"content\": \"\xff\"}", 400},
		"long":           {"POST", "/notes", `{"content": "` + strings.Repeat("ü", maxContent+1) + `"}`, 400},
		"long title":     {"POST", "/notes", `{"content": "a", "title": "` + strings.Repeat("a", maxTitle+1) + `"}`, 400},
		"too large":      {"POST", "/notes", `{"content": "` + strings.Repeat("a", maxBody) + `"}`, 413},
		"no type":        {"POST", "/notes", "", 415},
		"no number":      {"GET", "/notes/one", "", 400},
		"below zero":     {"GET", "/notes/-1", "", 400},
		"beyond":         {"GET", "/notes/9223372036854775808", "", 400},
		"absent":         {"GET", "/notes/9223372036854775807", "", 404},
		"SQL":            {"DELETE", "/notes/1%3Bdrop%20table%20notes", "", 400},
		"limit":          {"GET", "/notes?limit=501", "", 400},
		"before":         {"GET", "/notes?before=0", "", 400},
		"method":         {"PUT", "/notes/1", `{"content": "a"}`, 405},
		"path":           {"GET", "/secret", "", 404},
	} {
		if status, body, _ := ask(t, c.method, h.URL+c.path, c.body); status != c.want {
			t.Errorf("%s: %d %s, want %d", name, status, body, c.want)
		}
	}
	if _, body, _ := ask(t, "GET", h.URL+"/notes", ""); strings.TrimSpace(body) != "[]" {
		t.Errorf("something was kept: %s", body)
	}
}

func TestOtherSitesDoNotWrite(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.1.0")
	q, err := http.NewRequestWithContext(t.Context(), "POST", h.URL+"/notes", strings.NewReader(`{"content": "a"}`))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	if a.StatusCode != http.StatusForbidden {
		t.Errorf("got %s", a.Status)
	}
}

func TestThePageEscapes(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.1.0")
	ask(t, "POST", h.URL+"/notes", `{"title": "<b>bold</b>", "content": "<script>alert(1)</script>"}`)
	status, body, header := ask(t, "GET", h.URL+"/", "")
	if status != http.StatusOK || strings.Contains(body, "<script>alert") || strings.Contains(body, "<b>") || !strings.Contains(body, "&lt;script&gt;") {
		t.Errorf("%d %s", status, body)
	}
	if got := header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") {
		t.Errorf("Content-Security-Policy: %q", got)
	}
	for _, part := range []string{"style.css", "script.js", "icon.svg"} {
		if !strings.Contains(body, "/ui/"+part) {
			t.Errorf("the page has no %s", part)
		}
		if status, _, _ := ask(t, "GET", h.URL+"/ui/"+part, ""); status != http.StatusOK {
			t.Errorf("%s: %d", part, status)
		}
	}
}

func TestTheServiceDescribesItself(t *testing.T) {
	t.Parallel()
	h := httptest.NewServer(newServer(storeOf(t, "postgres://127.0.0.1:1/none", "1.1.0"), quiet()).handler())
	defer h.Close()
	var config struct {
		V1 struct {
			Documents []struct{ URL string }
		} `json:"openResourceDiscoveryV1"`
	}
	_, body, _ := ask(t, "GET", h.URL+"/.well-known/open-resource-discovery", "")
	if err := json.Unmarshal([]byte(body), &config); err != nil || len(config.V1.Documents) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	var doc struct {
		APIResources []struct {
			ResourceDefinitions []struct{ URL string }
		}
	}
	_, body, _ = ask(t, "GET", h.URL+config.V1.Documents[0].URL, "")
	if err := json.Unmarshal([]byte(body), &doc); err != nil || len(doc.APIResources) != 1 || len(doc.APIResources[0].ResourceDefinitions) != 1 {
		t.Fatalf("%s: %v", body, err)
	}
	file, err := os.ReadFile("api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, body, _ = ask(t, "GET", h.URL+doc.APIResources[0].ResourceDefinitions[0].URL, ""); body != string(file) {
		t.Errorf("what is offered is not what the component has: %s", body)
	}
	if _, body, _ = ask(t, "GET", h.URL+"/version", ""); !strings.Contains(body, version) {
		t.Errorf("version: %s", body)
	}
}

func TestReadinessFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	s, h := offered(t, "1.1.0")
	if status, body, _ := ask(t, "GET", h.URL+"/readyz", ""); status != http.StatusOK {
		t.Fatalf("ready: %d %s", status, body)
	}
	if _, err := s.store.db.ExecContext(t.Context(), "drop table notes, schema_migrations"); err != nil {
		t.Fatal(err)
	}
	if status, body, _ := ask(t, "GET", h.URL+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, `\"notes\" does not exist`) {
		t.Fatalf("without tables: %d %s", status, body)
	}
	select {
	case <-s.gone:
	default:
		t.Error("nobody is told that the tables are gone")
	}
	if status, _, _ := ask(t, "GET", h.URL+"/healthz", ""); status != http.StatusOK {
		t.Errorf("alive: %d", status)
	}
}

func TestTheBrokenReleaseLivesButIsNeverReady(t *testing.T) {
	t.Parallel()
	_, h := offered(t, "1.2.0")
	if status, body, _ := ask(t, "GET", h.URL+"/readyz", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "pinned") {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, _, _ := ask(t, "GET", h.URL+"/healthz", ""); status != http.StatusOK {
		t.Errorf("alive: %d", status)
	}
	if status, body, _ := ask(t, "GET", h.URL+"/", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, "cannot be shown") {
		t.Errorf("page: %d %s", status, body)
	}
}

// lines is a log that can be waited for.
type lines struct {
	text chan string
	all  bytes.Buffer // of one logger, which writes under a lock
}

// Write implements [io.Writer].
func (l *lines) Write(b []byte) (int, error) {
	l.text <- string(b)
	return l.all.Write(b)
}

// wait reads on until a line has text.
func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	for late := time.After(time.Minute); ; {
		select {
		case line := <-l.text:
			if strings.Contains(line, text) {
				return
			}
		case <-late:
			t.Fatalf("the log never says %q", text)
		}
	}
}

func TestADatabaseThatComesLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	url := database(t)
	short, err := os.MkdirTemp("/tmp", "notes-later-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	folder := filepath.Join(short, "s") // where its socket will be seen
	log := &lines{text: make(chan string, 1000)}
	s := newServer(storeOf(t, strings.Replace(url, postgres.folder, folder, 1), "1.1.0"), slog.New(slog.NewTextHandler(log, nil)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, l, s) }()
	log.wait(t, "not ready")
	at := "http://" + l.Addr().String()
	if status, body, _ := ask(t, "GET", at+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d %s", status, body)
	}
	if status, body, _ := ask(t, "POST", at+"/notes", `{"content": "a"}`); status != http.StatusServiceUnavailable {
		t.Errorf("without a database: %d %s", status, body)
	}
	if err := os.Symlink(postgres.folder, folder); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "all migrations")
	if status, body, _ := ask(t, "GET", at+"/readyz", ""); status != http.StatusOK {
		t.Errorf("with a database: %d %s", status, body)
	}
	exec1(t, url, "drop table notes, schema_migrations") // as if it came back with an empty volume
	if status, body, _ := ask(t, "GET", at+"/readyz", ""); status != http.StatusServiceUnavailable {
		t.Errorf("without tables: %d %s", status, body)
	}
	log.wait(t, "all migrations")
	if status, body, _ := ask(t, "POST", at+"/notes", `{"content": "a"}`); status != http.StatusCreated {
		t.Errorf("with tables again: %d %s", status, body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if strings.Contains(log.all.String(), "quite-secret") {
		t.Errorf("the log has the password:\n%s", &log.all)
	}
}

func TestWrongSettingsEndTheProcess(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, port, want string }{
		{"", "", "DATABASE_URL"},
		{"postgres://127.0.0.1/x", "http", "PORT"},
		{"postgres://127.0.0.1/x", "0", "PORT"},
		{"postgres://127.0.0.1/x", "65536", "PORT"},
	} {
		if err := run(t.Context(), quiet(), c.url, c.port); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: %v", c.url, c.port, err)
		}
	}
}

func FuzzParseNote(f *testing.F) {
	for _, seed := range []string{`{"content": "milk"}`, `{"title": "a", "content": "b"}`, `{"content": "\u0000"}`, `[]`, "", "\xff", `{"content":1}`} {
		f.Add([]byte(seed), true)
		f.Add([]byte(seed), false)
	}
	f.Fuzz(func(t *testing.T, body []byte, titled bool) {
		title, content, err := parseNote(body, titled)
		if err != nil {
			return
		}
		if strings.TrimSpace(content) == "" || strings.ContainsRune(title+content, 0) || (!titled && title != "") {
			t.Errorf("%q became %q, %q", body, title, content)
		}
	})
}
