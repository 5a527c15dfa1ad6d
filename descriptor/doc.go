// SPDX-License-Identifier: Apache-2.0

// Package descriptor turns component descriptors from bytes into the model and back.
//
// A descriptor is the one document that a signature covers, and it arrives from
// places nobody needs to trust. Three rules follow from that:
//
//   - A document has one meaning. Whatever two readers could understand differently
//     is refused by [Decode]: duplicate keys, keys that differ from a member of the
//     model only by case, numbers where text is expected, a second YAML document,
//     text that is not UTF-8.
//   - A document that was not changed is passed on byte for byte, with its media
//     type ([Encode]). One that was changed keeps every member that this version
//     does not know, at every level.
//   - Nothing is unbounded: bytes, nesting, values and list entries have limits,
//     and aliases in YAML cannot multiply beyond them.
//
// Reading is lenient about everything else, because documents of all existing tools
// must remain readable. The rules for documents that are written anew are in
// [Validate].
//
// Schema v2 is the only one that is written. Schema v3alpha1 is read, and converted;
// Meta.SchemaVersion of a converted descriptor holds the apiVersion it came with.
package descriptor

import "ocm"

// Limits of what is read and written. Crossing one is [ocm.ErrLimit].
const (
	// MaxBytes bounds a document, also unpacked from its tar or expanded from YAML.
	MaxBytes = 16 << 20
	// MaxDepth bounds the nesting of JSON objects and arrays.
	MaxDepth = 64
	// MaxValues bounds the JSON values of a document, of any kind and on all levels
	// together. It holds for YAML nodes as well.
	MaxValues = 500_000
	// MaxElements bounds the entries of all lists of the model together: resources,
	// sources, references, labels, signatures, digests.
	MaxElements = 100_000
	// MaxTarEntries bounds the entries of a tar that carries a descriptor.
	MaxTarEntries = 1000
)

// FileName is the name of the document in a tar.
const FileName = "component-descriptor.yaml"

// Media types of descriptors.
const (
	// MediaTypeJSON is the one that is written.
	MediaTypeJSON    = "application/vnd.ocm.software.component-descriptor.v2+json"
	MediaTypeYAML    = "application/vnd.ocm.software.component-descriptor.v2+yaml"
	MediaTypeYAMLTar = "application/vnd.ocm.software.component-descriptor.v2+yaml+tar"

	// Names from the time before the project had its own.
	MediaTypeGardenerJSON      = "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+json"
	MediaTypeGardenerYAML      = "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+yaml"
	MediaTypeGardenerYAMLTar   = "application/vnd.gardener.cloud.cnudie.component-descriptor.v2+yaml+tar"
	MediaTypeGardenerConfigTar = "application/vnd.oci.gardener.cloud.cnudie.component-descriptor.config.v2+yaml+tar"
)

// Values of apiVersion and kind of schema v3alpha1.
const (
	apiVersionOCM      = "ocm.software/v3alpha1"
	apiVersionGardener = "ocm.gardener.cloud/v3alpha1"
	kindVersion        = "ComponentVersion"
)

type encoding int

const (
	unknownEncoding encoding = iota
	jsonOrYAML               // JSON, or YAML where the text does not begin like JSON
	yamlText
	yamlTar
)

func encodingOf(mediaType string) encoding {
	switch mediaType {
	case "", MediaTypeJSON, MediaTypeGardenerJSON:
		return jsonOrYAML
	case MediaTypeYAML, MediaTypeGardenerYAML:
		return yamlText
	case MediaTypeYAMLTar, MediaTypeGardenerYAMLTar, MediaTypeGardenerConfigTar:
		return yamlTar
	}
	return unknownEncoding
}

func isV3(schemaVersion string) bool {
	return schemaVersion == apiVersionOCM || schemaVersion == apiVersionGardener
}

func isSchema(schemaVersion string) bool {
	return schemaVersion == ocm.SchemaV2 || isV3(schemaVersion)
}
