// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine describes what the numbers depend on, and nothing that would name somebody's computer.
func (b *bench) machine() string {
	var t strings.Builder
	row := func(what, is string) {
		if is != "" {
			fmt.Fprintf(&t, "| %s | %s |\n", what, is)
		}
	}
	t.WriteString("| | |\n|---|---|\n")
	row("processor", fmt.Sprintf("%s, %d cores", match("/proc/cpuinfo", `model name\s*: (.*)`), runtime.NumCPU()))
	row("memory", match("/proc/meminfo", `MemTotal:\s*(.*)`))
	row("system", said("uname", "-sr"))
	row("file system", said("stat", "-f", "-c", "%T", b.dir))
	row("file system of the registries", said("stat", "-f", "-c", "%T", b.storage))
	row("Go", runtime.Version())
	for _, name := range []string{"crane", "regctl"} {
		if path, ok := b.tool(name); ok {
			if info, err := buildinfo.ReadFile(path); err == nil {
				row(name, info.Main.Version)
			}
		}
	}
	row("skopeo", said("skopeo", "--version"))
	row("docker-registry", version.FindString(said("docker-registry", "--version")))
	row("openssl", said("openssl", "version"))
	row("cp", said("cp", "--version"))
	return t.String()
}

var version = regexp.MustCompile(`\d+\.[\w.+~-]+`)

// said is the first line that a program says.
func said(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return first
}

func match(file, pattern string) string {
	text, _ := os.ReadFile(file)
	if m := regexp.MustCompile(pattern).FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return "unknown"
}
