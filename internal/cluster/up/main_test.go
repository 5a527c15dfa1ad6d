// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	dir, o, err := parse(strings.Fields("-dir d -address 10.77.0.1 -sandbox r:5000/p:1 -registry r:5000=http://a -registry b=https://c -host r=10.77.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	if m := o.Node; dir != "d" || o.Address.String() != "10.77.0.1" || m == nil || m.Sandbox != "r:5000/p:1" ||
		m.Registries["r:5000"] != "http://a" || m.Registries["b"] != "https://c" || m.Hosts["r"] != o.Address {
		t.Errorf("found %q, %+v, %+v", dir, o, m)
	}
	for _, line := range []string{"", "-dir d more", "-dir d -registry r", "-dir d -host r", "-dir d -host r=x", "-dir d -address x", "-other"} {
		if err := run(strings.Fields(line), strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%q: expected an error", line)
		}
	}
}
