// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inPluginRepositories are the checks of what plugins say of component repositories.
func inPluginRepositories() []mutation {
	return slices.Concat(inPluginVersions(), inPluginDrafts())
}

// inPluginVersions are the checks of what is read.
func inPluginVersions() []mutation {
	m := in("plugin/proxy/repository.go", "internal/repotest")
	const liar, forgotten = "TestVersionOfALiar", "TestVersionThatIsForgotten"
	return []mutation{
		m(`case c.Name != name:`, `case false:`, liar),
		m(`case byDigest && m.Digest.String() != ref:`, `case false:`, liar),
		m(`case !byDigest && c.Version != ref:`, `case false:`, liar),
		m(`} else if want != "" && c.Root.Digest != want {`, `} else if false {`, liar),
		m(`wire.Text(version, maxListed) == version`, `true`, liar),
		m(`case seen[found]:`, `case false:`, liar),
		m(` || !bytes.Equal(w.doc.Bytes, v.doc.Bytes)`, ` || bytes.Equal(nil, []byte{1})`, forgotten),
	}
}

// inPluginDrafts are the checks of what is written.
func inPluginDrafts() []mutation {
	w, d := in("plugin/proxy/watch.go", "internal/repotest"), in("plugin/proxy/draft.go", "internal/repotest")
	const liar, blind, dies = "TestDraftOfALiar", "TestDraftOfWhoDoesNotLook", "TestDraftOfWhoDies"
	return []mutation{
		w(`case w.failed != nil:`, `case false:`, blind),
		w(`case want.Digest == "" && !read:`, `case false:`, blind),
		w(`case want.Digest != "" && got.Digest != want.Digest:`, `case false:`, liar),
		w(`case size >= 0 && got.Size != size:`, `case false:`, liar),
		w(`case got.MediaType != want.MediaType:`, `case false:`, liar),
		w(`leads != "" && leads != got.Digest {`, `false {`, liar),
		d(` || !bytes.Equal(has, given) {`, ` || false && bytes.Equal(has, given) {`, liar),
		d(`question(offered), &said, false)`, `question(offered), &said, true)`, dies),
		d(`	if r.writing.elsewhere(handle) {`, `	if false {`, "TestRepositoryOfWhoDied"),
	}
}
