// SPDX-License-Identifier: Apache-2.0

package main

// inNormalise are the rules of what is signed.
func inNormalise() []mutation {
	const digest, labels, tree, forms, coverage, quirks = "normalise/digest.go", "normalise/labels.go", "normalise/tree.go", "normalise/normalise.go", "normalise/coverage.go", "normalise/quirks.go"
	m := func(file, find, replace, test string) mutation {
		return mutation{file, find, replace, "normalise", test}
	}
	return []mutation{
		m(digest, `if bytes.Equal(sum(hash, raw), value) {`, `if bytes.HasPrefix(sum(hash, raw), value) {`, "TestMatchesTheWholeDigest"),
		m(digest, `	default:
		return "", nil, unknownHash(hash)
	}`, `	default:
		hash = ocm.SHA256
	}`, "TestMatches"),
		m(digest, `	for _, raw := range forms {`, `	for _, raw := range append(forms, []byte(nil)) {
		if len(raw) == 0 {
			return nil
		}`, "TestMatches"),
		m(forms, `	return nil, fmt.Errorf("unknown normalisation algorithm`, `	if algorithm != "" {
		return canonical(d, variant{})
	}
	return nil, fmt.Errorf("unknown normalisation algorithm`, "TestMatches"),
		m(forms, `			{emptyDigests: true},
			{rawTime: true},
		}
	case V4:`, `			{emptyDigests: true},
			{rawTime: true, dropNulls: true, plainLabels: true},
		}
	case V4:`, "TestCandidatesNeverCoverLess"),
		m(tree, `r.Access.Type != "none" && r.Access.Type != "None"`, `r.Access.Type != "none" && r.Access.Type != "None" && r.Access.Type != "none/v1"`, "TestAccessNone"),
		m(tree, `		if o["creationTime"], err = v.time(c.CreationTime); err != nil {`, `		if _, err = v.time(c.CreationTime); err != nil {`, "TestContentMatters"),
		m(tree, `	return o, v.signedLabels(o, "component", c.Labels)`, `	return o, nil`, "TestContentMatters"),
		m(labels, `	if label.Signing {
		o["signing"] = true
	}`, ``, "TestVectors"),
		m(labels, `	if dec.StackDepth() > MaxDepth {`, `	if false {`, "TestDepthIsBounded"),
		m(labels, `	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {`, `	if _, err := dec.ReadToken(); false && !errors.Is(err, io.EOF) {`, "TestGHSA_3633_5h82_39pq_DuplicateKeys"),
		m(labels, `dec := jsontext.NewDecoder(bytes.NewReader(raw))`, `dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))`, "TestGHSA_3633_5h82_39pq_DuplicateKeys"),
		m(labels, `			return nil, fmt.Errorf("number %.40s is out of range", s)`, `			return 0.0, nil`, "TestGHSA_3633_5h82_39pq_DuplicateKeys"),
		m(coverage, `if v.plainLabels && l.Version != "" {`, `if false {`, "TestUncovered"),
		m(coverage, `v.dropNulls && err == nil && (hasNull(value) || value == nil)`, `false && hasNull(value) && err == nil`, "TestUncovered"),
		m(coverage, `		if noSources {`, `		if noSources && i < 0 {`, "TestUncovered"),
		m(coverage, `	if !ok {
		return []string{`, `	if !ok {
		return nil
	}
	if false {
		return []string{`, "TestUncoveredFailsClosed"),
		m(quirks, `		if l.Version != "" {`, `		if false {`, "TestQuirks"),
	}
}

// inDescriptor are the rules that let all readers see one document.
func inDescriptor() []mutation {
	m := func(find, replace, test string) mutation {
		return mutation{"descriptor/shape.go", find, replace, "descriptor", test}
	}
	return []mutation{
		m(`		if strings.EqualFold(known, name) {`, `		if false {`, "TestDecodeRefuses"),
		m(`	if other, ok := folded[key]; ok {`, `	if other, ok := folded[key]; false && ok {`, "TestDecodeRefuses"),
	}
}

// inOCI are the checks between the manifest that pins a version and its descriptor.
func inOCI() []mutation {
	m := func(find, replace, test string) mutation {
		return mutation{"oci/version.go", find, replace, "oci", "TestForgedManifestsAreRefused/" + test}
	}
	return []mutation{
		m(`if found == nil || found.Size != named.Size || found.MediaType != named.MediaType {`, `if found == nil {`, "config and manifest disagree about the size"),
		m(`return v, v.checkAnnotation(raw)`, `return v, nil`, "annotation of another version"),
		m(`	if !isConfig(config.MediaType) {`, `	if false {`, "config of something else"),
		m(`	if entries[at].MediaType != ociv1.MediaTypeImageManifest {`, `	if false {`, "index whose first entry is an index"),
	}
}
