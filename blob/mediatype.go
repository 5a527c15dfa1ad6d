// SPDX-License-Identifier: Apache-2.0

package blob

import (
	"path"
	"strings"
)

// TypeByExtension is the media type of files with a name that ends like this one; empty if that does not tell. It
// knows the kinds of files that content alone does not tell apart. It is a fixed table, because the machine's own
// one differs from machine to machine.
func TypeByExtension(name string) string {
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
