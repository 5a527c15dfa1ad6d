// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// The parts of SPDX 2.3 that a bill of packages needs.
type (
	spdxDocument struct {
		Version       string         `json:"spdxVersion"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		DataLicense   string         `json:"dataLicense"`
		Creation      spdxCreation   `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []spdxRelation `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		ID        string         `json:"SPDXID"`
		Name      string         `json:"name"`
		Version   string         `json:"versionInfo,omitempty"`
		Purpose   string         `json:"primaryPackagePurpose,omitempty"`
		Location  string         `json:"downloadLocation"`
		Analyzed  bool           `json:"filesAnalyzed"`
		Checksums []spdxChecksum `json:"checksums,omitempty"`
		Refs      []spdxRef      `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelation struct {
		From string `json:"spdxElementId"`
		Kind string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

// The time of a document would be the one thing in it that differs between two runs.
const noTime = "1970-01-01T00:00:00Z"

// notInID is what a name of an element may not hold.
var notInID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

// bill is the bill of materials of an image: the packages in it and the program, each with its digest.
func bill(title, program string, content []byte, image digest.Digest, distribution string, debs []deb) ([]byte, error) {
	const root = "SPDXRef-Image"
	doc := spdxDocument{
		Version: "SPDX-2.3", ID: "SPDXRef-DOCUMENT", Name: title, Namespace: "urn:oci:" + image.String(), DataLicense: "CC0-1.0",
		Creation:      spdxCreation{Created: noTime, Creators: []string{"Tool: ocm-internal-image"}},
		Relationships: []spdxRelation{{"SPDXRef-DOCUMENT", "DESCRIBES", root}},
		Packages: []spdxPackage{
			{ID: root, Name: title, Purpose: "CONTAINER", Location: "NOASSERTION", Checksums: []spdxChecksum{{"SHA256", image.Encoded()}}},
			{ID: "SPDXRef-Program", Name: program, Purpose: "APPLICATION", Location: "NOASSERTION", Checksums: []spdxChecksum{{"SHA256", digest.FromBytes(content).Encoded()}}},
		},
	}
	for _, d := range debs {
		name, version := d.fields["Package"], d.fields["Version"]
		purl := "pkg:deb/debian/" + inURL(name) + "@" + inURL(version) + "?arch=" + d.fields["Architecture"]
		if distribution != "" {
			purl += "&distro=" + inURL(distribution)
		}
		doc.Packages = append(doc.Packages, spdxPackage{
			ID: "SPDXRef-deb-" + notInID.ReplaceAllString(name, "-plus"), Name: name, Version: version, Location: "NOASSERTION",
			Checksums: []spdxChecksum{{"SHA256", d.sum}}, Refs: []spdxRef{{"PACKAGE-MANAGER", "purl", purl}},
		})
	}
	for _, p := range doc.Packages[1:] {
		doc.Relationships = append(doc.Relationships, spdxRelation{root, "CONTAINS", p.ID})
	}
	b, err := json.MarshalIndent(doc, "", "  ")
	return append(b, '\n'), err
}

// inURL is a name or a version as a part of a package URL. Of what Debian allows in them, the plus is what means something else there.
func inURL(s string) string { return strings.ReplaceAll(s, "+", "%2B") }

// release is what the image says of its distribution, as package URLs name it ("debian-12"); empty if it does not.
func release(t *tree) string {
	e, _ := t.follow("etc/os-release")
	values := map[string]string{}
	for line := range strings.Lines(string(e.content)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[k] = strings.Trim(v, `"`)
	}
	if !packageName.MatchString(values["ID"]) || !versionName.MatchString(values["VERSION_ID"]) {
		return ""
	}
	return values["ID"] + "-" + values["VERSION_ID"]
}
