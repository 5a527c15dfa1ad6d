// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestCompletionAsksNobody: pressing a key opens no connection, whatever was typed.
func TestCompletionAsksNobody(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	in, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	host := l.Addr().String()
	for _, at := range []string{"http://" + host, host, "oci::http://" + host + "/acme", "ctf::http://" + host} {
		for _, args := range [][]string{
			{"get", "cv", at}, {"get", "cv", at + "//"}, {"get", "cv", at + "//acme.org/app"}, {"verify", "cv", at + "//acme.org/app:"}, {"list", "cv", at + "//acme.org/app:1"},
			{"download", "resource", at + "//acme.org/app:1.0.0", "--identity", ""}, {"get", "resources", at + "//acme.org/app:1.0.0", "--identity", "name="},
			{"transfer", "cv", "./archive//acme.org/app:1.0.0", at},
		} {
			var out, errOut bytes.Buffer
			if status := run(append([]string{"__complete"}, args...), in, &out, &errOut, time.Now); status != 0 {
				t.Errorf("%q: status %d\n%s", args, status, &errOut)
			}
			if strings.Contains(out.String(), "acme.org/app:") || strings.Contains(out.String(), "name=") {
				t.Errorf("%q: %s", args, &out)
			}
		}
	}
	// The first connection that waits is this one, unless somebody was faster.
	mine, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if first.RemoteAddr().String() != mine.LocalAddr().String() {
		t.Error("a connection was opened")
	}
}
