// SPDX-License-Identifier: Apache-2.0

// Package arch tests the architecture: which package may import which, and what must not be
// in the code at all. docs/ARCHITECTURE.md tells the reasons.
package arch

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// floors: a package may import packages of its own room (the same first path element below
// the module) and of lower floors.
var floors = map[string]int{
	"ocm":            0,
	"ocm/blob":       1,
	"ocm/descriptor": 1,
	"ocm/normalise":  2, // over descriptor: jsonNormalisation/v1 reads the document itself

	"ocm/config": 3,
	"ocm/sign":   3,
	"ocm/oci":    3,

	"ocm/plugin": 6, // over web: a plugin has the same HTTP client

	"ocm/web": 4,

	"ocm/credentials": 5, // over web: secrets are also kept by servers
	"ocm/oci/remote":  5,
	"ocm/oci/memory":  5,
	"ocm/ctf":         5,

	"ocm/componentarchive": 5,

	"ocm/access": 6,

	"ocm/input": 7, // over access: much of what is packed comes from where an access would lead
	"ocm/graph": 7,

	"ocm/construct": 8,
	"ocm/transfer":  8,
	"ocm/inspect":   8,
	"ocm/serve":     8,

	"ocm/builtin": 9,

	"ocm/session": 10,

	"ocm/deploy":         11,
	"ocm/deploy/install": 11,

	"ocm/cmd":         12,
	"ocm/examples":    12,
	"ocm/conformance": 12,
}

// rooms are the only places where a library may be imported directly.
var rooms = map[string][]string{
	"github.com/spf13/cobra":           {"ocm/cmd/ocm", "ocm/cmd/ocm-controller"},
	"oras.land/oras-go/v2":             {"ocm/oci", "ocm/ctf", "ocm/blob", "ocm/credentials"},
	"github.com/ProtonMail/go-crypto":  {"ocm/sign/pgp"},
	"github.com/sigstore/sigstore-go":  {"ocm/sign/sigstore"},
	"k8s.io":                           {"ocm/deploy", "ocm/cmd/ocm-controller", "ocm/internal/cluster", "ocm/internal/k8stest", "ocm/internal/k8sbench", "ocm/internal/sovereign"},
	"sigs.k8s.io/controller-runtime":   {"ocm/deploy", "ocm/cmd/ocm-controller", "ocm/internal/cluster", "ocm/internal/k8stest", "ocm/internal/k8sbench"},
	"sigs.k8s.io/kustomize":            {"ocm/deploy/render"},
	"helm.sh":                          {"ocm/deploy/render", "ocm/internal/k8stest"},
	"github.com/google/cel-go":         {"ocm/deploy"},
	"github.com/fluxcd/cli-utils":      {"ocm/deploy"},
	"compress/flate":                   nil, // its output changes with the toolchain
	"compress/gzip":                    nil,
	"github.com/gowebpki/jcs":          {"ocm/normalise"},
	"github.com/miekg/pkcs11":          {"ocm/examples/plugins/pkcs11"},
	"github.com/Masterminds/semver/v3": {"ocm/config", "ocm/access", "ocm/cmd/ocm", "ocm/inspect"},
	"golang.org/x/crypto/ssh":          {"ocm/access/git"},
}

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Dir          string
	GoFiles      []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Dir,GoFiles", "ocm/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < 10 {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

// floor finds the floor of the longest known prefix of a path.
func floor(path string) (string, int, bool) {
	for p := path; p != "."; p = filepath.Dir(p) {
		if f, ok := floors[p]; ok && (p != "ocm" || path == "ocm") {
			return p, f, true
		}
	}
	return "", 0, false
}

func TestImportsGoDown(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.ImportPath, "ocm/internal/") {
			continue
		}
		from, f, ok := floor(p.ImportPath)
		if !ok {
			t.Errorf("%s stands on no floor: add it to the list", p.ImportPath)
			continue
		}
		for _, imp := range p.Imports {
			if imp != "ocm" && !strings.HasPrefix(imp, "ocm/") || strings.HasPrefix(imp, "ocm/internal/") {
				continue
			}
			to, g, ok := floor(imp)
			if !ok || g >= f && to != from {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", p.ImportPath, f, imp, g)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for lib, allowed := range rooms {
				if imp != lib && !strings.HasPrefix(imp, lib+"/") {
					continue
				}
				if !within(p.ImportPath, allowed) {
					t.Errorf("%s imports %s, which belongs to %v", p.ImportPath, imp, allowed)
				}
			}
		}
	}
}

func within(path string, allowed []string) bool {
	for _, a := range allowed {
		if path == a || strings.HasPrefix(path, a+"/") {
			return true
		}
	}
	return false
}

// brought are packages that libraries of others import although they are for tests, and who does.
var brought = map[string]string{
	"testing": "github.com/digitorus/pkcs7",
	"github.com/google/go-containerregistry/pkg/name": "github.com/sigstore/sigstore/pkg/signature",
	"k8s.io/klog/v2": "github.com/google/certificate-transparency-go",
}

func TestTestPackagesAreNotLinked(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "ocm/cmd/ocm").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		for _, dep := range fields[1:] {
			for _, no := range []string{"testing", "ocm/internal/repotest", "ocm/internal/storetest", "github.com/olareg/olareg", "github.com/google/go-containerregistry", "k8s.io"} {
				inside := strings.HasPrefix(fields[0]+"/", no+"/")
				if (dep == no || strings.HasPrefix(dep, no+"/")) && !inside && !(brought[dep] != "" && within(fields[0], []string{brought[dep]})) {
					t.Errorf("the ocm command links %s, by %s", dep, fields[0])
				}
			}
		}
	}
}

func TestNoInitAndEveryPackageTellsItsStory(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			documented = documented || f.Doc != nil && len(f.Doc.Text()) > 80
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: func init() in %s", p.ImportPath, name)
				}
			}
		}
		if !documented && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestEveryFileSaysItsLicence(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		if len(f.Comments) == 0 || f.Comments[0].List[0].Text != "// SPDX-License-Identifier: Apache-2.0" {
			t.Errorf("%s does not start with the SPDX line", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
