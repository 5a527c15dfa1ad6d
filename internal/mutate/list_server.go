// SPDX-License-Identifier: Apache-2.0

package main

import "slices"

// inSigningServer are the checks of the signing server.
func inSigningServer() []mutation {
	return slices.Concat(inServer(), inConnection())
}

// inServer are the checks of a signing server's answer.
func inServer() []mutation {
	m := in("sign/server/server.go", "sign/server")
	return []mutation{
		m(`case at.Scheme == "http" && !isLoopback(at.Hostname()):`, `case false:`, "TestConfigurationRefused"),
		m(`if err := checkDigest(d); err != nil {`, `if err := checkDigest(d); false {`, "TestDigestRefused"),
		m(`case status >= 300 && status < 400:`, `case false:`, "TestGHSA_vh4v_2xq2_g5cg_redirect"),
		m(`case status != http.StatusOK:`, `case status == 0:`, "TestResponsesRefused"),
		m(`case len(body) > MaxAnswerSize:`, `case false:`, "TestResponsesRefused"),
		m(`err != nil || !slices.Contains([]string{rsa.MediaTypePEM, "text/plain"}, mediaType)`, `err != nil || slices.Contains([]string{rsa.MediaTypePEM, ""}, mediaType) && false`, "TestResponsesRefused"),
		m(`v, err := rsa.Foreign(algorithm, string(answer), d, env.Time())`, `v, err := ocm.SignatureValue{Algorithm: algorithm, MediaType: rsa.MediaTypePEM, Value: string(answer)}, error(nil)`, "TestAnswersRefused"),
		m(`client.transport.RoundTrip(req)`, `(&http.Client{Transport: client.transport}).Do(req)`, "TestGHSA_vh4v_2xq2_g5cg_redirect"),
	}
}

// inConnection are the checks of the way to a signing server.
func inConnection() []mutation {
	m := in("sign/server/connect.go", "sign/server")
	return []mutation{
		m(`err == nil && proxy != nil && proxy.Scheme == "https"`, `false`, "TestGHSA_h3wm_jjqf_8jm2_client_certificate_for_a_proxy"),
		m(`		own.TLSClientConfig.RootCAs = roots
`, ``, "TestGHSA_vh4v_2xq2_g5cg_redirect"),
		m(`if !roots.AppendCertsFromPEM(text) {`, `if roots.AppendCertsFromPEM(text); false {`, "TestWhoIsWho"),
		m(`if chain == nil || key == nil {`, `if false {`, "TestWhoIsWho"),
	}
}
