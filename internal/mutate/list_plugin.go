// SPDX-License-Identifier: Apache-2.0

package main

// inDelivery are the checks before a plugin is run that came from elsewhere.
func inDelivery() []mutation {
	const folder, record = "plugin/installed/folder.go", "plugin/installed/record.go"
	verbs := in("cmd/ocm/plugin_verbs.go", "cmd/ocm")
	kept := func(file, find, replace, test string) mutation {
		return mutation{file, find, replace, "plugin/installed", test}
	}
	return []mutation{
		verbs(`	if r.trust != nil {
		if judges`, `	if r.trust != nil && r.at.Component == "" {
		if judges`, "TestCVE_2026_33634_ExchangedReleaseIsNotRun"),
		verbs(`(!verified || res.Digest.Empty() || res.Digest.Excluded()) {`, `!verified {`, "TestScripts/plugin-bad"),
		verbs(`	if err == nil && judges != nil && !signed {`, `	if false {`, "TestScripts/plugin-registry"),
		verbs(`	signed := len(entry.In.Descriptor().Signatures) > 0`, `	signed := false`, "TestScripts/plugin-registry"),
		verbs(`return ref != entry.Reference }})`, `return ref != entry.Reference }, Trust: true})`, "TestScripts/plugin-registry"),
		verbs(`case old.Component != by.Component:`, `case false:`, "TestScripts/plugin-bad"),
		verbs(`	if older {`, `	if older && false {`, "TestScripts/plugin-install"),
		kept(folder, `	if err := ownOnly(folder); err != nil {`, `	if err := ownOnly(folder); false {`, "TestFolders"),
		kept(folder, `case !info.Mode().IsRegular():`, `case false:`, "TestFolders"),
		kept(record, `	if !name.MatchString(s) {`, `	if false {`, "TestNames"),
		kept(record, `	if found == r.Digest ||`, `	if true ||`, "TestInstall"),
	}
}
