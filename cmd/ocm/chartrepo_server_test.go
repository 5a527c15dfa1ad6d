// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ocm/internal/fixture"
)

// scriptChartRepo serves a folder as a repository of Helm charts and sets $CHARTS to its URL and $CHARTS_PORT to
// its port; see [fixture.ChartRepo]:
//
//	chartrepo FOLDER [USER:PASSWORD]
func scriptChartRepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: chartrepo FOLDER [USER:PASSWORD]")
	}
	url, stop, err := fixture.ChartRepo(ts.MkAbs(args[0]), append(args, "")[1])
	ts.Check(err)
	ts.Defer(stop)
	ts.Setenv("CHARTS", url)
	_, hostport, _ := strings.Cut(url, "://")
	_, port, _ := strings.Cut(hostport, ":")
	ts.Setenv("CHARTS_PORT", port)
}
