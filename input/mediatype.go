// SPDX-License-Identifier: Apache-2.0

package input

import (
	"net/http"
	"path"
	"strings"
)

// byExtension knows the kinds of files that content alone does not tell apart. It is a fixed
// table, because the machine's own one differs from machine to machine.
func byExtension(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		return "application/x-yaml"
	case ".json":
		return "application/json"
	case ".xml":
		return "application/xml"
	case ".toml":
		return "application/toml"
	case ".tar":
		return "application/x-tar"
	case ".tgz", ".gz":
		return "application/gzip"
	case ".zst":
		return "application/zstd"
	case ".zip":
		return "application/zip"
	case ".jar":
		return "application/java-archive"
	case ".md":
		return "text/markdown"
	case ".txt":
		return "text/plain"
	case ".html", ".htm":
		return "text/html"
	case ".csv":
		return "text/csv"
	case ".js":
		return "text/javascript"
	case ".sh":
		return "text/x-shellscript"
	case ".svg":
		return "image/svg+xml"
	case ".wasm":
		return "application/wasm"
	case ".pem", ".crt":
		return "application/x-pem-file"
	}
	return ""
}

// byContent judges the first 512 bytes, by the rules of browsers. Parameters such as the
// character set are left out: registries do not accept them in media types.
func byContent(head []byte) string {
	mt, _, _ := strings.Cut(http.DetectContentType(head), ";")
	if mt == "application/x-gzip" {
		return "application/gzip"
	}
	return mt
}
