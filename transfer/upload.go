// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"ocm"
	"ocm/blob"
	"ocm/oci/remote"
)

// Values of [Options].UploadAs.
const (
	UploadLocalBlob   = "localBlob"   // artifacts are stored beside their component
	UploadOCIArtifact = "ociArtifact" // in repositories of their own, where the target is a registry
)

// ErrTag says that the tag an artifact should get leads to another one. It is an [ocm.ErrExists].
var ErrTag = fmt.Errorf("the tag is taken: %w", ocm.ErrExists)

// uploads decides which artifacts get repositories of their own, and under which names. Two
// artifacts never get the same name in silence.
type uploads struct {
	o     Options
	omits func(accessType string) bool // types of access that stay as they are
	to    ocm.Publisher                // nil: all artifacts are stored beside their component

	mu     sync.Mutex
	claims map[string]claim // by reference with tag
}

// claim is who gets a name.
type claim struct {
	digest digest.Digest
	by     string // version and element
}

// prepare finds out whether the target has room for artifacts.
func (u *uploads) prepare(p *Plan) error {
	u.o, u.omits = p.o, p.omits
	switch p.o.UploadAs {
	case "", UploadLocalBlob:
		return nil
	case UploadOCIArtifact:
	default:
		return fmt.Errorf("artifacts are stored as %s or %s, not as %.40q: %w", UploadLocalBlob, UploadOCIArtifact, p.o.UploadAs, ocm.ErrInvalid)
	}
	to, ok := p.target.(ocm.Publisher)
	if ok {
		_, err := to.Reference("artifact")
		if ok = !errors.Is(err, errors.ErrUnsupported); ok && err != nil {
			return err
		}
	}
	if !ok {
		p.env.Logger().Info("the target is no registry: artifacts are stored beside their component", "target", p.Target)
		return nil
	}
	u.to, u.claims = to, map[string]claim{}
	return nil
}

// place makes an upload of the copy of an artifact that has a name.
func (u *uploads) place(vp *VersionPlan, m *Move, access ocm.Spec) error {
	if u.to == nil {
		return nil
	}
	artifact := isArtifact(access.Type)
	if m.Action == Keep && artifact && vp.State != Kept && m.Reason == "" && !u.omits(access.Type) {
		vp.Notes = append(vp.Notes, fmt.Sprintf("%s %s stays where it is: only what is copied is uploaded (--copy-resources copies it)", m.Kind, m.Element))
	}
	name, _, _ := strings.Cut(hint(access), "@")
	if m.Action != Copy || name == "" || !artifact && !blob.IsManifest(m.mediaType) {
		return nil
	}
	ref, err := u.to.Reference(name)
	if err == nil {
		_, err = remote.ParseReference(ref)
	}
	if err != nil {
		return fmt.Errorf("its name %.200q cannot be that of a repository (--upload-as localBlob stores it beside its component): %w", name, err)
	}
	m.Action, m.To, m.name = Upload, ref, name
	return u.claim(m, m.Digest)
}

// claim refuses a name that another artifact of this run has.
func (u *uploads) claim(m *Move, d digest.Digest) error {
	if _, tag := cutTag(m.name); tag == "" || d == "" {
		return nil // a digest is never ambiguous
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	by := fmt.Sprintf("%s %s %s", m.Component, m.Kind, m.Element)
	c, taken := u.claims[m.To]
	if taken && c.digest != d {
		return fmt.Errorf("%s would be %s for %s, and %s for %s (--upload-as localBlob stores both): %w", m.To, c.digest, c.by, d, by, ErrTag)
	}
	if !taken {
		u.claims[m.To] = claim{d, by}
	}
	return nil
}

// publish stores an artifact under its name.
func (u *uploads) publish(ctx context.Context, m *Move, c ocm.Content) (ocm.Stored, error) {
	if err := u.claim(m, c.Root.Digest); err != nil {
		return ocm.Stored{}, err
	}
	s, err := u.to.Publish(ctx, c, m.name, u.o.Overwrite)
	if errors.Is(err, ocm.ErrExists) {
		err = fmt.Errorf("%w: %w (--overwrite moves the tag)", ErrTag, err)
	}
	return s, err
}

// cutTag takes a name apart into path and tag.
func cutTag(name string) (path, tag string) {
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[:i], name[i+1:]
	}
	return name, ""
}

// published reports whether an access leads to where an upload would put the content. Without any
// digest to compare with it is taken for the content, as a blob beside the descriptor is.
func published(m *Move, access ocm.Spec, want *ocm.Digest) bool {
	ref, _, _ := strings.Cut(imageReference(access), "@")
	d := pinned(access)
	switch {
	case m.Action != Upload, d == "", ref != m.To:
		return false
	case m.Digest != "":
		return d == m.Digest
	case !want.Empty() && !want.Excluded():
		return d.Encoded() == want.Value
	}
	return true
}

// isArtifact reports whether an access type is one of the names of an artifact in a registry.
func isArtifact(accessType string) bool {
	switch strings.TrimSuffix(accessType, "/v1") {
	case "ociArtifact", "OCIArtifact", "ociImage", "OCIImage", "ociRegistry":
		return true
	}
	return false
}

// imageReference is that of an access to an artifact, as it was written.
func imageReference(access ocm.Spec) string {
	var a struct {
		ImageReference string      `json:"imageReference"`
		Rest           ocm.RawJSON `json:",embed"`
	}
	if access.Decode(&a) != nil {
		return ""
	}
	return a.ImageReference
}
