// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/olareg/olareg"
	"github.com/olareg/olareg/config"
	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptVault starts a server of the protocol of HashiCorp Vault with the secrets in a folder and sets $VAULT to its
// URL and $VAULTPORT to its port. It accepts a token, and gives that for a Kubernetes role and its token:
//
//	vault FOLDER TOKEN [ROLE JWT]
func scriptVault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 && len(args) != 4 {
		ts.Fatalf("usage: vault FOLDER TOKEN [ROLE JWT]")
	}
	o := &fixture.VaultOptions{Token: args[1]}
	if len(args) == 4 {
		o.Role, o.JWT = args[2], args[3]
	}
	url, stop, err := fixture.VaultProtocolServer(ts.MkAbs(args[0]), o)
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("VAULT", url)
	ts.Setenv("VAULTPORT", url[strings.LastIndex(url, ":")+1:])
}

// scriptFill puts variables in the place of $NAME in files:
//
//	fill FILE...
func scriptFill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: fill FILE...")
	}
	for _, name := range args {
		path := ts.MkAbs(name)
		raw, err := os.ReadFile(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(string(raw), ts.Getenv)), 0o600))
	}
}

// scriptLockedRegistry starts an empty OCI registry that wants user name and password, by the scheme Basic or by
// tokens, and sets $REGISTRY, or another variable, to its host:port, and $REGISTRYPORT to the port:
//
//	lockedregistry basic|bearer USER PASSWORD [NAME]
func scriptLockedRegistry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: lockedregistry basic|bearer USER PASSWORD [NAME]")
	}
	handler := olareg.New(config.Config{
		Storage: config.ConfigStorage{StoreType: config.StoreMem},
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	server := httptest.NewServer(locked(handler, args[0] == "bearer", args[1], args[2]))
	ts.Defer(func() {
		server.Close()
		ts.Check(handler.Close())
	})
	name := append(args[3:], "REGISTRY")[0]
	ts.Setenv(name, strings.TrimPrefix(server.URL, "http://"))
	ts.Setenv(name+"PORT", server.URL[strings.LastIndex(server.URL, ":")+1:])
}

// locked lets those through who have the password. Its refusals repeat what was sent: nobody else may do so.
func locked(next http.Handler, bearer bool, user, password string) http.Handler {
	const token = "hunter2-session"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, basic := r.BasicAuth()
		known := basic && u == user && p == password
		switch {
		case r.URL.Path == "/token" && known:
			_, _ = io.WriteString(w, `{"token":"`+token+`"}`)
			return
		case bearer && r.URL.Path != "/token":
			known = r.Header.Get("Authorization") == "Bearer "+token
		}
		if known {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		if bearer {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token",service="test"`)
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"not good: `+u+` `+p+` `+r.Header.Get("Authorization")+`"}]}`)
	})
}
