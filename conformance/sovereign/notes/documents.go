// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"net/http"
)

// The service describes itself with the very documents that are resources of its component.
var (
	//go:embed api/discovery.json
	discovery []byte
	//go:embed api/ord-document.json
	ordDocument []byte
	//go:embed api/openapi.yaml
	openAPI []byte
)

// document answers with bytes that never change.
func document(mediaType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Write(content) // whoever asked has gone
	}
}
