// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"ocm"
)

func TestHTTPAuthoritiesAndProxies(t *testing.T) {
	t.Parallel()
	h, err := entries(t, `
- type: rootcerts.config.ocm.software/v1
  rootCertificates: [{path: old.pem}, {stringdata: TEXT}, {data: RU5DT0RFRA==}]
- type: http.config.ocm.software/v1alpha1
  caFiles: [corp.pem]
  proxy: http://proxy.example.org:3128
  hosts:
    Inner.example.org: {caFiles: [inner.pem], certificateFile: me.pem, keyFile: me.key, proxy: none}
    other: {proxy: ""}
- type: http.config.ocm.software
  certificateFile: all.pem
  keyFile: all.key
  caFiles: [more.pem]
  hosts:
    other: {caFiles: [last.pem]}
`).HTTP()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"x":                     "old.pem, TEXT, ENCODED, corp.pem, more.pem; all.pem all.key; http://proxy.example.org:3128",
		"inner.example.org:443": "old.pem, TEXT, ENCODED, corp.pem, more.pem, inner.pem; me.pem me.key; none",
		"OTHER":                 "old.pem, TEXT, ENCODED, corp.pem, more.pem, last.pem; all.pem all.key; ",
	} {
		o := h.For(host)
		var roots []string
		for _, k := range o.Trust.Roots {
			roots = append(roots, k.Path+k.Text)
		}
		if got := fmt.Sprintf("%s; %s %s; %s", strings.Join(roots, ", "), o.CertificateFile, o.KeyFile, o.Proxy); got != want {
			t.Errorf("%s: expected %s, found %s", host, want, got)
		}
	}
	for entry, word := range map[string]string{
		"type: http.config.ocm.software, caFiles: ['']":                                                          "caFiles[0] is empty",
		"type: http.config.ocm.software, caFiles: a.pem":                                                         "caFiles",
		"type: http.config.ocm.software, certificateFile: a.pem":                                                 "keyFile",
		"type: http.config.ocm.software, hosts: {a: {keyFile: a.pem}}":                                           "hosts: a: expected both",
		"type: http.config.ocm.software, proxy: 'proxy:3128'":                                                    "proxy: expected http://host:port",
		"type: http.config.ocm.software, proxy: 'ftp://proxy'":                                                   "proxy",
		"type: http.config.ocm.software, proxy: 'http://u:s3cr3t@proxy:port'":                                    "proxy",
		"type: http.config.ocm.software, proxy: 'http://'":                                                       "proxy",
		"type: rootcerts.config.ocm.software, rootCertificates: [{}]":                                            "rootCertificates[0]",
		"type: rootcerts.config.ocm.software, rootCertificates: [{data: '*'}]":                                   "rootCertificates[0]: data is not base64",
		"type: rootcerts.config.ocm.software, rootCertificates: [{path: a, data: ''}, {path: a, stringdata: b}]": "rootCertificates[1]: expected one",
	} {
		_, err := entries(t, "- {"+entry+"}").HTTP()
		if !errors.Is(err, ocm.ErrInvalid) || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: expected ErrInvalid with %q, found %v", entry, word, err)
		}
	}
}
