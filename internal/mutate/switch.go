// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// variable chooses the mutation in a binary that has many; empty: none.
const variable = "OCM_MUTATION"

// chooser is a file that is added to the package of a mutated one.
const chooser = "package %s\n\nimport \"os\"\n\nvar chosenMutation = os.Getenv(\"" + variable + "\")\n"

// errAlone is the error of a mutation that cannot share a binary with others.
var errAlone = errors.New("needs a binary of its own")

// switched puts mutations of one file into it, each as a copy of the function that it changes, which the function
// calls where that mutation is chosen. Linking takes most of the time of a mutation; so it is done once for many. left are those
// that are not within one function, or whose function cannot be copied.
func switched(src string, list []mutation, ids []int) (text, pkg string, left []int, err error) {
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", src, parser.SkipObjectResolution)
	if err != nil {
		return "", "", nil, err
	}
	calls := map[int]string{} // what is inserted, by the place after the brace that opens a body
	var copies strings.Builder
	for _, id := range ids {
		m := list[id]
		if strings.Count(src, m.find) != 1 {
			left = append(left, id)
			continue
		}
		at := strings.Index(src, m.find)
		fn := around(parsed, files, at, at+len(m.find))
		call, err := call(src, files, fn, id)
		if err != nil {
			left = append(left, id)
			continue
		}
		start, name, end := offset(files, fn.Pos()), offset(files, fn.Name.End()), offset(files, fn.End())
		changed := src[name:at] + m.replace + src[at+len(m.find):end]
		fmt.Fprintf(&copies, "\n%s_mutation%d%s\n", src[start:name], id, changed)
		calls[offset(files, fn.Body.Lbrace)+1] += call
	}
	var b strings.Builder
	for i, c := range []byte(src) {
		b.WriteString(calls[i])
		b.WriteByte(c)
	}
	return b.String() + copies.String(), parsed.Name.Name, left, nil
}

// around is the function in whose body a stretch of the text lies, or nil.
func around(f *ast.File, files *token.FileSet, from, to int) *ast.FuncDecl {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil && offset(files, fn.Body.Lbrace) < from && to <= offset(files, fn.End()) {
			return fn
		}
	}
	return nil
}

// call is the statement at the beginning of a function that calls its copy.
func call(src string, files *token.FileSet, fn *ast.FuncDecl, id int) (string, error) {
	if fn == nil || fn.Type.TypeParams != nil || fn.Name.Name == "init" {
		return "", errAlone
	}
	text := func(n ast.Node) string { return src[offset(files, n.Pos()):offset(files, n.End())] }
	var args []string
	for _, p := range fn.Type.Params.List {
		more, variadic := p.Type.(*ast.Ellipsis)
		if len(p.Names) == 0 && variadic {
			return "", fmt.Errorf("%s has no name: %w", text(more), errAlone)
		}
		args = append(args, values(p, text)...)
		if variadic {
			args[len(args)-1] += "..."
		}
	}
	name := fmt.Sprintf("%s_mutation%d", fn.Name.Name, id)
	if fn.Recv != nil {
		name = values(fn.Recv.List[0], text)[0] + "." + name
	}
	statement := name + "(" + strings.Join(args, ", ") + ")"
	if fn.Type.Results != nil {
		statement = "return " + statement
	} else {
		statement += "; return"
	}
	return fmt.Sprintf(" if chosenMutation == \"%d\" { %s };", id, statement), nil
}

// values are the arguments that pass parameters on. One without a name is used by nobody: the zero value will do.
func values(p *ast.Field, text func(ast.Node) string) (all []string) {
	zero := "(*new(" + text(p.Type) + "))"
	for _, n := range p.Names {
		if n.Name == "_" {
			all = append(all, zero)
		} else {
			all = append(all, n.Name)
		}
	}
	if len(all) == 0 {
		all = []string{zero}
	}
	return all
}

func offset(files *token.FileSet, p token.Pos) int { return files.Position(p).Offset }

// room is the mutations of one package that tests of one package notice.
type room struct{ dir, pkg string }

// shareAll builds a binary for each room, and returns by mutation the one that has it.
func (w *workshop) shareAll(list []mutation, parallel int) map[int]string {
	rooms := map[room][]int{}
	for i, m := range list {
		r := room{filepath.Dir(m.file), m.pkg}
		rooms[r] = append(rooms[r], i)
	}
	all := slices.Collect(maps.Keys(rooms))
	binaries := map[int]string{}
	var mu sync.Mutex
	each(w.ctx, parallel, len(all), func(n int) {
		binary := filepath.Join(w.temp, fmt.Sprintf("room%d.test", n))
		in, err := w.share(all[n], list, rooms[all[n]], binary)
		if err != nil && w.ctx.Err() == nil {
			fmt.Printf("%s: every mutation is made alone, which takes its time: %v\n", all[n].dir, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for id, has := range in {
			if has {
				binaries[id] = binary
			}
		}
	})
	return binaries
}

// share builds a test binary for all mutations of a room that can share one, and returns which these are. None can if it does not
// build: then one of them does not build either, and which one is found out when each is made alone.
func (w *workshop) share(r room, list []mutation, ids []int, binary string) (in map[int]bool, err error) {
	dir, err := os.MkdirTemp(w.temp, "shared-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	byFile := map[string][]int{}
	for _, id := range ids {
		byFile[list[id].file] = append(byFile[list[id].file], id)
	}
	replace, name := map[string]string{}, ""
	in = map[int]bool{}
	for file, ids := range byFile {
		path := filepath.Join(w.root, file)
		src, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		text, pkg, left, err := switched(string(src), list, ids)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		name, replace[path] = pkg, filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return nil, err
		}
		for _, id := range ids {
			in[id] = !slices.Contains(left, id)
		}
	}
	added := filepath.Join(dir, "chooser.go")
	replace[filepath.Join(w.root, r.dir, "chosen_mutation.go")] = added
	doc, err := json.Marshal(map[string]any{"Replace": replace})
	overlay := filepath.Join(dir, "overlay.json")
	if err := errors.Join(err, os.WriteFile(added, fmt.Appendf(nil, chooser, name), 0o600), os.WriteFile(overlay, doc, 0o600)); err != nil {
		return nil, err
	}
	if err := w.build(r.pkg, binary, "-overlay", overlay); err != nil {
		return nil, err
	}
	return in, nil
}
