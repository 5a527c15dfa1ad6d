// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptVersityGW starts a real S3 gateway over the folder $WORK/s3, whose buckets are in s3/buckets, and sets
// $S3 to its host:port:
//
//	versitygw
func scriptVersityGW(ts *testscript.TestScript, neg bool, args []string) {
	expect(ts, "versitygw", neg || len(args) > 0)
	url, stop, err := fixture.VersityGW(ts.MkAbs("s3"))
	serving(ts, "S3", url, stop, err)
}

// scriptVerdaccio starts a real npm registry, publishes the packages in some folders, and sets $NPM to its host:port:
//
//	verdaccio FOLDER...
func scriptVerdaccio(ts *testscript.TestScript, neg bool, args []string) {
	expect(ts, "verdaccio FOLDER...", neg)
	for i, arg := range args {
		args[i] = ts.MkAbs(arg)
	}
	dir := ts.MkAbs(filepath.Join(".servers", "npm"))
	ts.Check(os.MkdirAll(dir, 0o700))
	url, stop, err := fixture.Verdaccio(dir, args...)
	serving(ts, "NPM", url, stop, err)
}

// scriptMaven makes a Maven repository in the folder $WORK/maven, serves it, and sets $MAVEN to its host:port:
//
//	maven
func scriptMaven(ts *testscript.TestScript, neg bool, args []string) {
	expect(ts, "maven", neg || len(args) > 0)
	url, stop, err := fixture.Maven(ts.MkAbs("maven"))
	serving(ts, "MAVEN", url, stop, err)
}

func expect(ts *testscript.TestScript, text string, wrong bool) {
	if wrong {
		ts.Fatalf("usage: %s", text)
	}
}

// serving sets a variable to the host:port of a server, and two more, with HOST and PORT, to either.
func serving(ts *testscript.TestScript, name, url string, stop func(), err error) {
	ts.Check(err)
	ts.Defer(stop)
	at := strings.TrimPrefix(url, "http://")
	host, port, _ := strings.Cut(at, ":")
	ts.Setenv(name, at)
	ts.Setenv(name+"HOST", host)
	ts.Setenv(name+"PORT", port)
}
