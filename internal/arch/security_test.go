// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// proof is how docs/security.md names a test: [`TestName/subtest`](../folder/file_test.go).
var proof = regexp.MustCompile("\\[`(Test[^`]*)`\\]\\(([^)]*)\\)")

// Each claim of the document is proven by a test that exists.
func TestSecurityDocumentNamesTests(t *testing.T) {
	doc, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	found := proof.FindAllStringSubmatch(string(doc), -1)
	if len(found) < 50 || len(found) != strings.Count(string(doc), "[`Test") {
		t.Errorf("found only %d tests", len(found))
	}
	for _, f := range found {
		src, err := os.ReadFile(filepath.Join("../../docs", f[2]))
		if err != nil {
			t.Errorf("%s: %v", f[1], err)
			continue
		}
		name, sub, isSub := strings.Cut(f[1], "/")
		if !strings.Contains(string(src), "\nfunc "+name+"(") || isSub && !strings.Contains(string(src), strconv.Quote(sub)) {
			t.Errorf("%s is not in %s", f[1], f[2])
		}
	}
}
