// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
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
	if kib, err := strconv.Atoi(match("/proc/meminfo", `MemTotal:\s*(\d+)`)); err == nil {
		row("memory", fmt.Sprintf("%d GiB", (kib+1<<19)>>20))
	}
	row("system", said("uname", "-sr"))
	row("file system", fileSystem(b.dir))
	row("file system of the registries", fileSystem(b.storage))
	row("Go", runtime.Version())
	for _, name := range []string{"crane", "regctl"} {
		if path, ok := b.tool(name); ok {
			if info, err := buildinfo.ReadFile(path); err == nil {
				row(name, info.Main.Version)
			}
		}
	}
	for _, name := range []string{"skopeo", "docker-registry", "cp"} {
		row(name, version.FindString(said(name, "--version")))
	}
	row("openssl", version.FindString(said("openssl", "version")))
	return t.String()
}

var version = regexp.MustCompile(`\d+\.[\w.+~-]+`)

func fileSystem(dir string) string {
	out, err := exec.Command("df", "--output=fstype", dir).Output()
	if _, name, ok := strings.Cut(string(out), "\n"); ok && err == nil {
		return strings.TrimSpace(name)
	}
	return ""
}

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
