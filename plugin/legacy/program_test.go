// SPDX-License-Identifier: Apache-2.0

package legacy_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// This file is a plugin written from the description of the older protocol, with nothing but the standard library: what it is started with,
// what it prints, how it listens and ends. What the plugins of the tests can do is in programs_test.go. The test binary is the plugin if its
// name is that of one.

func TestMain(m *testing.M) {
	if p, ok := programs()[filepath.Base(os.Args[0])]; ok && len(os.Args) > 1 && (os.Args[1] == "capabilities" || os.Args[1] == "--config") {
		os.Exit(p.main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// program is one such plugin.
type program struct {
	capabilities []map[string]any
	configTypes  []string
	fixedSocket  bool   // in /tmp, wherever temporary files are
	tcp          bool   // listens on a port of this computer
	line         string // printed in place of the address
	handlers     map[string]http.HandlerFunc
	ready        func(c configuration)
}

// configuration is what the plugin is started with.
type configuration struct {
	ID          string            `json:"id"`
	Type        string            `json:"type"`
	PluginType  *string           `json:"pluginType"`
	IdleTimeout int64             `json:"idleTimeout"`
	ConfigTypes []json.RawMessage `json:"configTypes"`
}

func (p program) main(args []string) int {
	if args[0] == "capabilities" {
		doc := map[string]any{"capabilities": p.capabilities}
		if p.configTypes != nil {
			doc["supportedConfigTypes"] = p.configTypes
		}
		if err := json.NewEncoder(os.Stdout).Encode(doc); err != nil {
			return 1
		}
		return 0
	}
	var c configuration
	if len(args) != 2 || json.Unmarshal([]byte(args[1]), &c) != nil || c.ID == "" || c.Type != "unix" || c.PluginType == nil || *c.PluginType != "" || c.IdleTimeout < 1 {
		fmt.Fprintf(os.Stderr, "started with %q\n", args)
		return 2
	}
	if err := p.serve(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (p program) serve(c configuration) error {
	if p.ready != nil {
		p.ready(c)
	}
	l, address, err := p.listen(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	idle := time.AfterFunc(time.Duration(c.IdleTimeout), stop)
	var busy sync.Mutex
	active := 0
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		busy.Lock()
		active++
		idle.Stop()
		busy.Unlock()
		defer func() {
			busy.Lock()
			defer busy.Unlock()
			if active--; active == 0 {
				idle.Reset(time.Duration(c.IdleTimeout))
			}
		}()
		p.route(w, r)
	})}
	go func() {
		<-ctx.Done()
		_ = srv.Shutdown(context.Background())
	}()
	fmt.Println("a line that a library prints\nand another one")
	fmt.Println(address)
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (p program) listen(c configuration) (net.Listener, string, error) {
	if p.line != "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		return l, p.line, err
	}
	if p.tcp {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, "", err
		}
		return l, "http://" + l.Addr().String(), nil
	}
	dir := os.TempDir()
	if p.fixedSocket {
		dir = "/tmp"
	}
	socket := filepath.Join(dir, c.ID+"-plugin.socket")
	if err := os.WriteFile(socket+".lock", fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return nil, "", err
	}
	l, err := net.Listen("unix", socket)
	return l, "http+unix://" + socket, err
}

func (p program) route(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		return
	}
	h, ok := p.handlers[r.Method+" "+r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Header.Get("Accept") != "application/json" {
		http.Error(w, "no Accept", http.StatusBadRequest)
		return
	}
	h(w, r)
}

// answers makes a handler of a function from JSON to JSON; its errors have the status 500, as in most existing plugins.
func answers[Q any](fn func(q Q, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if raw, err := io.ReadAll(r.Body); err != nil || len(raw) > 0 && json.Unmarshal(raw, &q) != nil {
			http.Error(w, "undecodable body", http.StatusBadRequest)
			return
		}
		a, err := fn(q, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if a != nil {
			_ = json.NewEncoder(w).Encode(a)
		}
	}
}

// loggedIn demands the header Authorization, as components made with the existing kit do for repositories.
func loggedIn(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var credentials map[string]any
		if json.Unmarshal([]byte(r.Header.Get("Authorization")), &credentials) != nil {
			http.Error(w, "incorrect authentication header", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

// password is that of the credentials of a question.
func password(r *http.Request) string {
	var credentials struct {
		Type       string
		Properties map[string]string
	}
	if json.Unmarshal([]byte(r.Header.Get("Authorization")), &credentials) != nil || credentials.Type != "DirectCredentials/v1" {
		return ""
	}
	return credentials.Properties["password"]
}

// typed is a type with a schema, as it stands in the document.
func typed(name string, members ...string) map[string]any {
	properties := map[string]any{"type": map[string]any{"type": "string", "pattern": "^([a-zA-Z0-9][a-zA-Z0-9.]*)(?:/(v[0-9]+(?:alpha[0-9]+|beta[0-9]+)?))?"}}
	for _, m := range members {
		properties[m] = map[string]any{"type": "string", "description": "the " + m}
	}
	schema, _ := json.Marshal(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/Spec",
		"$defs": map[string]any{"Spec": map[string]any{
			"type": "object", "properties": properties, "additionalProperties": false, "required": append([]string{"type"}, members...),
		}},
	})
	return map[string]any{"type": name, "aliases": nil, "jsonSchema": base64.StdEncoding.EncodeToString(schema)}
}

// write makes a file as such plugins do, for the host to read.
func write(text []byte) (map[string]string, error) {
	f, err := os.CreateTemp("", "download-")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(text)
	return map[string]string{"type": "localFile", "value": f.Name(), "mediaType": "text/plain"}, errors.Join(err, f.Close())
}

// read reads a file of the host.
func read(l map[string]string) ([]byte, error) {
	if l["type"] != "localFile" || !strings.HasPrefix(l["value"], "/") {
		return nil, fmt.Errorf("location %v", l)
	}
	return os.ReadFile(l["value"])
}
