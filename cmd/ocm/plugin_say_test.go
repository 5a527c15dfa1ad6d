// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"ocm"
	"ocm/blob"
	"ocm/plugin"
)

// sayPlugin is a plugin of scripts: an access method and an input whose content stands in the specification.
func sayPlugin() {
	type say struct {
		Text string `json:"text" need:"yes" about:"the content"`
	}
	open := ocm.OpenerFunc(func(_ context.Context, _ *ocm.Env, s ocm.Spec) (ocm.Content, error) {
		var m say
		err := s.Members(&m)
		return blob.Bytes("text/plain", []byte(m.Text)), err
	})
	typ := ocm.Type{Names: []string{"say/v1", "say"}, About: "What it says.", Fields: ocm.FieldsOf(say{})}
	kit := ocm.NewKit()
	kit.Access.Register(open, typ)
	kit.Inputs.Register(open, typ)
	plugin.Main(plugin.About{Name: "say", Version: "1.0.0", About: "Says it."}, kit)
}
