// SPDX-License-Identifier: Apache-2.0

// Package pypi tests a plugin in Python, as an example of one in another language.
package pypi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"ocm"
	"ocm/internal/accesstest"
	"ocm/internal/fixture"
	"ocm/plugin/host"
)

// The contract of access methods, with an index as PEP 691 describes it.
func TestPlugin(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3:", err)
	}
	wheel := []byte("a wheel")
	sum := sha256.Sum256(wheel)
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/my-tool/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
		fmt.Fprintf(w, `{"meta":{"api-version":"1.1"},"name":"my-tool","files":[
			{"filename":"my_tool-1.0.0-py3-none-any.whl","url":"../../files/1","hashes":{"sha256":%q},"size":%d},
			{"filename":"my_tool-1.0.0.tar.gz","url":"/files/2","hashes":{}},
			{"filename":"lost.whl","url":"/files/3","hashes":{}}]}`, hex.EncodeToString(sum[:]), len(wheel))
	})
	mux.HandleFunc("/files/1", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wheel) })
	mux.HandleFunc("/files/2", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush() // its length is not announced
		_, _ = w.Write([]byte("source"))
	})
	index := httptest.NewServer(mux)
	t.Cleanup(index.Close)

	method := openMethod(t)
	accesstest.Run(t, accesstest.Case{
		Method:   method,
		Good:     map[string]any{"index": index.URL + "/simple/", "package": "My_Tool", "file": "my_tool-1.0.0-py3-none-any.whl"},
		Want:     wheel,
		WantType: "application/octet-stream",
		Missing:  []map[string]any{{"package": "other"}, {"file": "other"}, {"file": "lost.whl"}},
		Wrong:    []map[string]any{{"index": "file:///etc"}},
		Host:     func(at string) map[string]any { return map[string]any{"index": "http://" + at} },
	})
	accesstest.Run(t, accesstest.Case{
		Method:   method,
		Good:     map[string]any{"index": index.URL + "/simple", "package": "my.tool", "file": "my_tool-1.0.0.tar.gz"},
		Want:     []byte("source"),
		WantType: "application/octet-stream",
	})
}

// openMethod is the plugin's access method.
func openMethod(t *testing.T) ocm.Method {
	t.Helper()
	text, err := os.ReadFile("pypi")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := fixture.Program(filepath.Join(dir, "pypi"), text); err != nil {
		t.Fatal(err)
	}
	h := host.New(host.Options{Dirs: []string{dir}})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	kit := ocm.NewKit()
	h.Attach(kit)
	method, err := kit.Access.For("pypi/v1")
	if err != nil {
		t.Fatal(err)
	}
	return ocm.Method{Type: kit.Access.Types()[0], Opener: method}
}
