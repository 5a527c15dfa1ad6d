// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/webdav"
)

// scriptWebDAV starts a WebDAV server with the files in a folder, for who has the password; its address becomes $WEBDAV,
// and its port $WEBDAVPORT:
//
//	webdav USER PASSWORD DIR
func scriptWebDAV(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: webdav USER PASSWORD DIR")
	}
	handler := &webdav.Handler{FileSystem: webdav.Dir(ts.MkAbs(args[2])), LockSystem: webdav.NewMemLS()}
	server := httptest.NewServer(locked(handler, false, args[0], args[1]))
	ts.Defer(server.Close)
	ts.Setenv("WEBDAV", server.URL)
	ts.Setenv("WEBDAVPORT", server.URL[strings.LastIndex(server.URL, ":")+1:])
}
