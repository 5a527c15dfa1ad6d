// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"ocm"
)

// maxFileName bounds the names that are made, in bytes. File systems take 255.
const maxFileName = 200

// SafeName makes the name of a file of any text: without separators, control characters and what only some
// file systems take, without dots at the beginning, and not longer than 200 bytes.
func SafeName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("._+-", r)) {
			return r
		}
		return '_'
	}, text)
	name = strings.TrimLeft(name, ".-")
	name = strings.TrimRight(name[:min(len(name), maxFileName)], ".")
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	device := slices.Contains([]string{"con", "prn", "aux", "nul"}, base) || len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt"))
	if name == "" || device { // of another system, where the files may be taken
		name = "_" + name
	}
	return name
}

// FileNames makes a name for each resource that is not in used, and adds it. It is the resource's name; where
// that is not enough also its version and extra identity. See [Unused].
func FileNames(used map[string]bool, list []*Element) []string {
	count := map[string]int{}
	versions := map[string]map[string]bool{}
	for _, e := range list {
		key := strings.ToLower(e.Common.Name)
		count[key]++
		if versions[key] == nil {
			versions[key] = map[string]bool{}
		}
		versions[key][e.Common.Version] = true
	}
	names := make([]string, len(list))
	for i, e := range list {
		name, key := e.Common.Name, strings.ToLower(e.Common.Name)
		if count[key] > 1 {
			name = longName(e.Common, len(versions[key]) > 1)
		}
		names[i] = Unused(used, SafeName(name))
	}
	return names
}

func longName(e *ocm.Element, version bool) string {
	name := e.Name
	if version && e.Version != "" {
		name += "-" + e.Version
	}
	keys := slices.Sorted(maps.Keys(e.ExtraIdentity))
	slices.SortStableFunc(keys, func(a, b string) int { return order(a) - order(b) })
	for _, k := range keys {
		name += "-" + e.ExtraIdentity[k]
	}
	return name
}

// order puts platforms as people write them: operating system, architecture.
func order(key string) int {
	if i := slices.Index([]string{"os", "architecture", "variant"}, key); i >= 0 {
		return i
	}
	return 3
}

// Unused takes a name that is not in used, and adds it: the name itself, or with a number before its extension. Names
// that differ only in upper and lower case are one: not every file system tells them apart.
func Unused(used map[string]bool, name string) string {
	free := name
	for n := 2; used[strings.ToLower(free)]; n++ {
		base, extension := name, ""
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			base, extension = name[:i], name[i:]
		}
		free = fmt.Sprintf("%s-%d%s", base, n, extension)
	}
	used[strings.ToLower(free)] = true
	return free
}
