// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"ocm"
	"ocm/oci/memory"
)

func users(t testing.TB, cost int, pairs ...string) *Htpasswd {
	t.Helper()
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		hash, err := bcrypt.GenerateFromPassword([]byte(pairs[i+1]), cost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s:%s\n", pairs[i], hash)
	}
	h, err := ReadHtpasswd(strings.NewReader("# who may come in\n\n" + b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHtpasswd(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("p", 72)
	h := users(t, bcrypt.MinCost, "alice", "secret", "bob", long, "empty", "")
	for range 2 { // what was right is remembered, what was wrong is not
		for _, tt := range []struct {
			name, password string
			want           bool
		}{
			{"alice", "secret", true}, {"alice", "Secret", false}, {"alice", "", false}, {"alice", "secret\x00", false},
			{"bob", long, true}, {"bob", long + "more", false}, {"bob", "secret", false},
			{"carol", "secret", false}, {"", "", false}, {"empty", "", true}, {"ALICE", "secret", false},
		} {
			if got := h.Allowed(t.Context(), tt.name, tt.password); got != tt.want {
				t.Errorf("%q %q: %v", tt.name, tt.password, got)
			}
		}
	}
	if len(h.right) != 3 {
		t.Errorf("%d are remembered", len(h.right))
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range maxComparisons {
		h.turns <- struct{}{}
	}
	if h.Allowed(gone, "alice", "wrong") || !h.Allowed(gone, "alice", "secret") {
		t.Error("whoever is known need not wait, and who is gone does not come in")
	}
}

func TestHtpasswdRefused(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		"":                         ocm.ErrInvalid,
		"# nobody\n":               ocm.ErrInvalid,
		"alice:secret":             ocm.ErrInvalid,
		"alice:$apr1$x$abcdefghij": ocm.ErrInvalid,
		"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=":                        ocm.ErrInvalid,
		":" + string(hash):                                               ocm.ErrInvalid,
		"alice" + string(hash):                                           ocm.ErrInvalid,
		"a:" + string(hash) + "\na:" + string(hash):                      ocm.ErrInvalid,
		"a:" + strings.Replace(string(hash), "$04$", "$31$", 1):          ocm.ErrLimit,
		"a:" + string(hash) + ":more":                                    ocm.ErrInvalid, // could never be right, and would be found out quickly
		"a:" + string(hash[:59]):                                         ocm.ErrInvalid,
		"a:" + string(hash[:20]) + "!" + string(hash[21:]):               ocm.ErrInvalid,
		"a:" + string(hash) + "\n" + strings.Repeat("x", maxUserBytes+1): ocm.ErrInvalid,
	} {
		h, err := ReadHtpasswd(strings.NewReader(text))
		if h != nil || !errors.Is(err, want) || strings.Contains(err.Error(), "alice") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, expected %v", text, err, want)
		}
	}
}

// work returns what a question costs: bcrypt takes time by two to the power of the cost, whatever else the machine does.
func work(t *testing.T, h *Htpasswd, name, password string) (total int) {
	t.Helper()
	defer func(compare func(hash, password []byte) error) { h.compare = compare }(h.compare)
	h.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Fatal(err)
		}
		total += 1 << cost
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	h.Allowed(t.Context(), name, password)
	return total
}

// Unknown users cost as much as known ones with a wrong password; a right one costs nothing the second time.
func TestHtpasswdTime(t *testing.T) {
	t.Parallel()
	h := users(t, bcrypt.MinCost, "alice", "secret")
	known, unknown := work(t, h, "alice", "wrong"), work(t, h, "mallory", "wrong")
	first, second := work(t, h, "alice", "secret"), work(t, h, "alice", "secret")
	if known != 1<<bcrypt.MinCost || unknown != known || first != known || second != 0 {
		t.Errorf("known %d, unknown %d, right %d, once more %d", known, unknown, first, second)
	}
}

// Nor does it show who has a cheaper hash than others.
func TestHtpasswdTimeOfCheapHashes(t *testing.T) {
	t.Parallel()
	var lines strings.Builder
	for name, cost := range map[string]int{"alice": 7, "bob": 4} {
		hash, err := bcrypt.GenerateFromPassword([]byte("secret"), cost)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%s:%s\n", name, hash)
	}
	h, err := ReadHtpasswd(strings.NewReader(lines.String()))
	if err != nil {
		t.Fatal(err)
	}
	alice, bob, nobody := work(t, h, "alice", "wrong"), work(t, h, "bob", "wrong"), work(t, h, "mallory", "wrong")
	if alice != nobody || bob != nobody {
		t.Errorf("alice %d, bob %d, nobody %d", alice, bob, nobody)
	}
	if !h.Allowed(t.Context(), "bob", "secret") {
		t.Error("bob may come in")
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	store := memory.New()
	tagImage(t, store.Repo("acme/app"), "1.0.0", content, "")
	srv, _ := start(t, store, Options{Users: users(t, bcrypt.MinCost, "alice", "secret"), Log: logger, Writable: true})
	for _, path := range []string{"/v2/", "/v2/acme/app/manifests/1.0.0", "/v2/acme/app/tags/list", "/v2/_catalog", "/v2/nothing", "/"} {
		for _, given := range []string{"", "Basic YWxpY2U6d3Jvbmc=", "Basic !!", "Bearer YWxpY2U6c2VjcmV0"} {
			a := ask(t, "GET", srv.URL+path, "", "Authorization: "+given)
			if a.status != 401 || a.code(t) != "UNAUTHORIZED" || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), `Basic realm=`) {
				t.Errorf("%s %s: %v", path, given, a)
			}
		}
	}
	if a := ask(t, "GET", srv.URL+"/v2/acme/app/manifests/1.0.0", "", "Authorization: Basic YWxpY2U6c2VjcmV0"); a.status != 200 {
		t.Error(a)
	}
	if a := ask(t, "POST", srv.URL+"/v2/acme/app/blobs/uploads/", ""); a.status != 401 {
		t.Error(a)
	}
	srv.Close()
	mu.Lock()
	defer mu.Unlock()
	// zot CVE-2025-48374, GHSA-5jhf-2qmf-m8c5: secrets in the log.
	if text := log.String(); strings.Contains(text, "secret") || strings.Contains(text, "YWxpY2U6") || !strings.Contains(text, "user=alice") {
		t.Error(text)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
