// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/Masterminds/semver/v3"
	"github.com/spf13/cobra"
)

const versionLong = `Show the version of this program: how it was built, for which platform and with
which Go. It reads no configuration and opens no connection.

Formats:
  legacyjson       one line of JSON with the fields of other OCM tools
  text             one line to read
  gobuildinfo      what the Go linker recorded, with all modules
  gobuildinfojson  the same as JSON`

func newVersion(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "version [flags]",
		Short:   "Show the version of this program",
		Long:    versionLong,
		Example: "  ocm version\n  ocm version -f text",
		Args:    arguments(),
		RunE: func(*cobra.Command, []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return fmt.Errorf("this program was built without build information")
			}
			return printVersion(a.out, format, info)
		},
	}
	addEnum(cmd.Flags(), &format, "format", "f", "output format", "legacyjson", "text", "gobuildinfo", "gobuildinfojson")
	return cmd
}

// versionInfo has the fields of the version in other OCM tools.
type versionInfo struct {
	Major      string `json:"major"`
	Minor      string `json:"minor"`
	Patch      string `json:"patch"`
	PreRelease string `json:"preRelease,omitempty"`
	Meta       string `json:"meta,omitempty"`
	GitVersion string `json:"gitVersion"`
	GitCommit  string `json:"gitCommit,omitempty"`
	BuildDate  string `json:"buildDate,omitempty"`
	GoVersion  string `json:"goVersion"`
	Compiler   string `json:"compiler"`
	Platform   string `json:"platform"`
}

func printVersion(w io.Writer, format string, info *debug.BuildInfo) error {
	switch format {
	case "gobuildinfo":
		_, err := io.WriteString(w, info.String())
		return err
	case "gobuildinfojson":
		return json.NewEncoder(w).Encode(info)
	}
	v := versionOf(info)
	if format == "legacyjson" {
		return json.NewEncoder(w).Encode(v)
	}
	line := fmt.Sprintf("ocm %s, %s, %s", v.GitVersion, v.Platform, v.GoVersion)
	if v.GitCommit != "" {
		line += ", commit " + v.GitCommit
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

func versionOf(info *debug.BuildInfo) versionInfo {
	v := versionInfo{
		Major: "0", Minor: "0", Patch: "0",
		GitVersion: info.Main.Version,
		GoVersion:  info.GoVersion,
		Compiler:   runtime.Compiler,
		Platform:   runtime.GOOS + "/" + runtime.GOARCH,
	}
	if v.GitVersion == "" {
		v.GitVersion = "(devel)"
	}
	if sv, err := semver.NewVersion(v.GitVersion); err == nil {
		v.Major = strconv.FormatUint(sv.Major(), 10)
		v.Minor = strconv.FormatUint(sv.Minor(), 10)
		v.Patch = strconv.FormatUint(sv.Patch(), 10)
		v.PreRelease, v.Meta = sv.Prerelease(), sv.Metadata()
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.GitCommit = s.Value
		case "vcs.time":
			v.BuildDate = s.Value
		}
	}
	return v
}
