// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ocm"
)

func TestPlugins(t *testing.T) {
	t.Parallel()
	pin := "sha256:" + strings.Repeat("a", 64)
	c, err := entries(t, `- {type: plugin.config.ocm.software/v2alpha1, plugins: {a: {environment: [A, B], digest: "`+pin+`", memory: 512Mi, openFiles: 64, timeout: 90s}}}
- {type: plugin.config.ocm.software/v2alpha1, plugins: {a: {memory: 1G, environment: []}, b: {timeout: 1h}}}
`).Plugins()
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Named["a"], c.Named["b"]
	if len(a.Environment) != 0 || a.Digest.String() != pin || a.Memory != 1e9 || a.OpenFiles != 64 || a.Timeout != 90*time.Second {
		t.Errorf("%+v", a)
	}
	if b.Timeout != time.Hour || b.Memory != 0 || b.Digest != "" {
		t.Errorf("%+v", b)
	}
}

func TestPluginsWrong(t *testing.T) {
	t.Parallel()
	for text, part := range map[string]string{
		"digest: md5:x":         "digest",
		"digest: sha256:abc":    "digest",
		"memory: much":          "memory",
		"memory: -1Gi":          "memory",
		"memory: 1MiB":          "memory",
		"memory: 1iM":           "memory",
		"memory: 1Mi":           "at least 64Mi",
		"memory: 9999999999Ti":  "memory",
		"openFiles: -1":         "openFiles",
		"openFiles: 3":          "openFiles",
		"openFiles: 99999999":   "openFiles",
		"timeout: -1s":          "timeout",
		"timeout: soon":         "timeout",
		`environment: ["A=B"]`:  "environment",
		`environment: [""]`:     "environment",
		`environment: "A"`:      "environment",
		`environment: ["A\0B"]`: "environment",
	} {
		_, err := entries(t, "- {type: plugin.config.ocm.software/v2alpha1, plugins: {mine: {"+text+"}}}").Plugins()
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, seed := range []string{"", "1", "512Mi", "2G", "-1Ki", "iiii", "9223372036854775807Ti", "KMi", "1 Gi", "-0", "+1"} {
		f.Add(seed)
	}
	units := []string{"", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := parseBytes(text)
		if err != nil {
			if !errors.Is(err, ocm.ErrInvalid) {
				t.Error(err)
			}
			return
		}
		if n < 0 || !slices.Contains(units, strings.TrimLeft(text, "0123456789")) {
			t.Errorf("%q is %d", text, n)
		}
	})
}
