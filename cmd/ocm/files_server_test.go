// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptFiles starts a web server for a folder and sets $FILES to its host:port and $FILES_PORT to the port, or variables of
// another name:
//
//	files DIR [NAME]
func scriptFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: files DIR [NAME]")
	}
	url, stop, err := fixture.FileServer(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(stop)
	name, at := append(args, "FILES")[1], strings.TrimPrefix(url, "http://")
	_, port, _ := strings.Cut(at, ":")
	ts.Setenv(name, at)
	ts.Setenv(name+"_PORT", port)
}

// scriptProxy starts a proxy for plain http behind which every host is the server at an address, and sets $PROXY
// to its host:port:
//
//	proxy HOST:PORT
func scriptProxy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: proxy HOST:PORT")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.RequestURI, out.URL.Host = "", args[0]
		resp, err := http.DefaultTransport.RoundTrip(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	ts.Defer(srv.Close)
	ts.Setenv("PROXY", srv.Listener.Addr().String())
}
