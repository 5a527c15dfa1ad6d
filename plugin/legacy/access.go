// SPDX-License-Identifier: Apache-2.0

package legacy

import (
	"context"
	"fmt"
	"os"

	"ocm"
	"ocm/oci"
)

// The names of questions that several kinds of such plugins answer.
const (
	identityPath = "/identity"
	aspect       = "resource" // of which an implementation is asked, where only its specification is known
)

// typedBody is how such plugins are asked for the consumer of a specification: the member is called type, and has the whole of it.
type typedBody struct {
	Type ocm.Spec `json:"type"`
}

// resourceOf is a resource of which only the access is known. Its other members have to be there.
func resourceOf(access ocm.Spec) ocm.Resource {
	return ocm.Resource{Element: ocm.Element{Name: aspect, Version: "1.0.0"}, Type: "blob", Relation: ocm.RelationExternal, Access: access}
}

// authorizer finds the credentials of a specification.
func (i *instance) authorizer(env *ocm.Env, path string, body any) func(context.Context) (authorization, error) {
	return func(ctx context.Context) (authorization, error) {
		_, auth, err := i.authorize(ctx, env, path, body, false)
		return auth, err
	}
}

// accessMethod is an access type of a resource repository.
type accessMethod struct {
	plugin *Plugin
	typ    specType
}

// Open implements [ocm.Opener].
func (a accessMethod) Open(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	i, err := a.plugin.prepared(ctx, a.typ, s)
	if err != nil {
		return ocm.Content{}, err
	}
	q := question{path: "/resource/get", body: map[string]any{"resource": resourceOf(s)}}
	var v struct {
		MediaType string `json:"mediaType"`
	}
	_ = s.Decode(&v) // of another kind: it means something else there
	return a.plugin.contentOf(ctx, i.asking(q, "", i.authorizer(env, identityPath, typedBody{s})), v.MediaType, "")
}

// prepared is what runs for specifications that are not repositories, if this one keeps the schema.
func (p *Plugin) prepared(ctx context.Context, t specType, s ocm.Spec) (*instance, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := t.check(s); err != nil {
		return nil, p.named(err)
	}
	return p.instance("", nil)
}

// uploader is an access type of a resource repository, as a place to store in.
type uploader struct {
	plugin *Plugin
	typ    specType
}

// Upload implements [ocm.Uploader]. The whole content is written into a file first, in a folder that goes with the call.
func (u uploader) Upload(ctx context.Context, env *ocm.Env, c ocm.Content, s ocm.Spec, hint string) (ocm.Stored, error) {
	i, err := u.plugin.prepared(ctx, u.typ, s)
	if err != nil {
		return ocm.Stored{}, err
	}
	auth, err := i.authorizer(env, identityPath, typedBody{s})(ctx)
	if err != nil {
		return ocm.Stored{}, err
	}
	dir, err := os.MkdirTemp(env.TempDir(), "ocm-") // 0700
	if err != nil {
		return ocm.Stored{}, err
	}
	defer os.RemoveAll(dir)
	h, err := handOut(ctx, dir, c)
	if err != nil {
		return ocm.Stored{}, err
	}
	r := resourceOf(s)
	if hint != "" {
		r.Name = hint
	}
	var answer struct {
		Resource *ocm.Resource `json:"resource"`
	}
	q := question{path: "/resource/add", body: map[string]any{"resourceLocation": h.location, "resource": r}, auth: auth, slow: true}
	if err := i.ask(ctx, q, &answer); err != nil {
		return ocm.Stored{}, err
	}
	if answer.Resource == nil {
		return ocm.Stored{}, u.plugin.named(fmt.Errorf("%s: its answer has no resource: %w", q.path, ocm.ErrInvalid))
	}
	if err := global(answer.Resource.Access); err != nil {
		return ocm.Stored{}, u.plugin.named(fmt.Errorf("%s: %w", q.path, err))
	}
	return ocm.Stored{Root: h.root, Access: answer.Resource.Access}, nil
}

// global demands an access that leads to content from everywhere.
func global(access ocm.Spec) error {
	if err := named(access); err != nil {
		return err
	}
	if oci.IsLocal(access.Type) || oci.IsRelative(access.Type) {
		return fmt.Errorf("its answer has the access %s, which leads nowhere outside of a component version: %w", access.Type, ocm.ErrInvalid)
	}
	return nil
}

// named demands an access with a type that can be shown.
func named(access ocm.Spec) error {
	if !isTypeName(access.Type) {
		return fmt.Errorf("its answer has an access of the type %q: %w", shown(access.Type), ocm.ErrInvalid)
	}
	return nil
}
