// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inNetwork are the checks between a secret and a place that it is not for.
func inNetwork() []mutation { return slices.Concat(inWeb(), inCredentials(), inAccess()) }

// inWeb are the checks of the HTTP client.
func inWeb() []mutation {
	r, o := in("web/redirect.go", "web"), in("web/origin.go", "web")
	c, d := in("web/certificate.go", "web"), in("web/download.go", "web")
	cl := in("web/client.go", "web")
	return []mutation{
		r(`case len(via) > MaxRedirects:`, `case false:`, "TestGHSA_vh4v_2xq2_g5cg_RedirectRefused"),
		r(`case first.URL.Scheme == "https" && req.URL.Scheme != "https":`, `case false:`, "TestGHSA_vh4v_2xq2_g5cg_RedirectRefused"),
		r(`if err := CheckAddress(first.URL, req.URL); err != nil {`, `if err := CheckAddress(first.URL, req.URL); false {`, "TestGHSA_vh4v_2xq2_g5cg_RedirectRefused"),
		r(`	if leaves(req, via) {`, `	if false {`, "TestGHSA_whvf_jp7m_59f3_HeadersAndAddressesElsewhere"),
		r(`outside(req) || slices.ContainsFunc(via[1:], outside)`, `outside(req)`, "TestGHSA_vh4v_2xq2_g5cg_RedirectWithoutCredentials"),
		r(`	req.Header.Del("Referer") // the address before may be a signed one
`, ``, "TestGHSA_vh4v_2xq2_g5cg_RedirectWithoutCredentials"),
		o(` && portOf(a) == portOf(b)`, ``, "TestGHSA_vh4v_2xq2_g5cg_RedirectWithoutCredentials"),
		o(`if IsLoopback(host) && !IsLoopback(from.Hostname()) {`, `if false {`, "TestGHSA_vh4v_2xq2_g5cg_RedirectRefused"),
		o(`	if to.User != nil {`, `	if false {`, "TestGHSA_vh4v_2xq2_g5cg_RedirectRefused"),
		o(`addr.IsLinkLocalUnicast() || `, ``, "TestAddressesOfDescriptors"),
		o(`if err != nil && isNumber(`, `if false && isNumber(`, "TestAddressesOfDescriptors"),
		o(`err == nil && maps.Equal(secret, other)`, `false && maps.Equal(secret, other) && err == nil`, "TestDescriptorCannotDowngradeToPlainHTTP"),
		c(`		if !SameOrigin(r.URL, c.origin) {`, `		if false {`, "TestGHSA_h3wm_jjqf_8jm2_ClientCertificateElsewhere"),
		c(`		own.Proxy = unlessEncrypted(own.Proxy)
`, ``, "TestGHSA_h3wm_jjqf_8jm2_ClientCertificateElsewhere"),
		cl(`	case at.User != nil:`, `	case false:`, "TestAddressesOfDescriptors"),
		cl(`	if !SameOrigin(req.URL, c.origin) {
		return nil
	}
	if c.Sign`, `	if c.Sign`, "TestGHSA_whvf_jp7m_59f3_HeadersAndAddressesElsewhere"),
		d(`if !g.Fixed && g.given && g.state.contradicts(resp.Header) {`, `if false {`, "TestDownloadFromAServerThatIgnoresIfRange"),
		d(`if !ok || first != g.at {`, `if !ok || first < 0 {`, "TestDownloadFromAServerThatIgnoresIfRange"),
		d(`			header.Set("If-Range", g.state.condition())
`, ``, "TestDownloadResumes"),
	}
}

// inCredentials are the rules that say whom a secret is for.
func inCredentials() []mutation {
	m := in("credentials/match.go", "credentials")
	return []mutation{
		m(`	case conf[attrHost] != request[attrHost]:`, `	case false:`, "TestRules"),
		m(`	case !schemesMatch(conf, request):`, `	case false:`, "TestRules"),
		m(`	case !portsMatch(conf, request):`, `	case false:`, "TestRules"),
		m(`	case !patternMatches(conf, request):`, `	case false:`, "TestRules"),
		m(`	case !prefixMatches(conf, request):`, `	case false:`, "TestRules"),
		m(`strings.HasPrefix(want, p+"/")`, `strings.HasPrefix(want, p)`, "TestRules"),
		m(`	if k := missingFrom(request, conf, nil); k != "" {
		return k
	}
`, ``, "TestRules"),
	}
}

// inAccess are checks of what access methods are told.
func inAccess() []mutation {
	sums := in("access/sums.go", "access")
	return []mutation{
		sums(`if !slices.ContainsFunc(s.want, func(want []byte) bool { return bytes.Equal(got, want) }) {`, `if bytes.Equal(got, nil) && slices.Contains([]int{}, 0) {`, "TestNPMIntegrity"),
		in("access/git/tree.go", "access/git")(` || strings.Contains("\n"+rest, "\ntree ")`, ` || rest == "\x00"`, "TestCVE_2026_45022_commits"),
		in("access/file.go", "access")(`if env == nil || env.Dir == "" {`, `if env == nil {`, "TestFileOfADescriptorIsRefused"),
		in("builtin/ocm.go", "builtin")(`	if !k.Repositories.Same(s.Type, ocm.OCIRepositoryType) {`, `	if false {`, "TestOCMOpensNothingLocal"),
		in("builtin/ocm.go", "builtin")(`	if !within(dir, at) { // by a link`, `	if false {`, "TestOCMOpensNothingLocal"),
		in("graph/content.go", "graph")(`		foreign.Dir = ""
`, ``, "TestAccessesSeeNoLocalPlace"),
	}
}
