// SPDX-License-Identifier: Apache-2.0

package input

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"ocm"
	"ocm/blob"
)

// dockerNotes hold for both inputs.
var dockerNotes = []string{
	"A path that ends with .tar, .tar.gz or .tgz is an archive that docker save has written, below the constructor's folder. Any other one is the name of an image in a Docker daemon.",
	"The daemon is asked by its socket: DOCKER_HOST=unix:///path, default /var/run/docker.sock. For daemons elsewhere, docker save writes an archive.",
	"An archive that has an OCI manifest keeps its digest. Of others a manifest is made, always the same for the same image.",
}

// Docker is one image of a Docker daemon, or of an archive that docker save has written.
var Docker = ocm.Method{
	Type: ocm.Type{
		Names:  ocm.Versioned("v1", "docker", "Docker"),
		About:  "An image of a Docker daemon or of an archive that docker save has written.",
		Fields: ocm.FieldsOf(dockerSpec{}),
		Notes:  dockerNotes,
	},
	Opener: ocm.OpenerFunc(openDocker),
}

type dockerSpec struct {
	Path       string `json:"path" need:"yes" about:"name of the image in the daemon, or file of an archive"`
	Repository string `json:"repository" about:"name for uploads, path[:tag], below the component's name; from the root with a / before it"`
}

func openDocker(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var d dockerSpec
	if err := s.Members(&d); err != nil {
		return ocm.Content{}, err
	}
	if err := checkHint(s, d.Repository); err != nil {
		return ocm.Content{}, err
	}
	c, err := dockerImage(ctx, env, s, d.Path)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: path %.200q: %w", s.Type, d.Path, err)
	}
	c.Hint = d.Repository
	return c, nil
}

// MaxVariants bounds the images of one input dockermulti.
const MaxVariants = 64

// DockerMulti is an image index that is made of several such images, each for another platform.
var DockerMulti = ocm.Method{
	Type: ocm.Type{
		Names:  append(ocm.Versioned("v1", "dockermulti", "DockerMulti"), "dockerMulti"),
		About:  "An image index, made of images of a Docker daemon or of docker save archives, one per platform.",
		Fields: ocm.FieldsOf(dockerMultiSpec{}),
		Notes:  append([]string{"The platforms are those that the images' configurations say; no two may be for the same one."}, dockerNotes...),
	},
	Opener: ocm.OpenerFunc(openDockerMulti),
}

type dockerMultiSpec struct {
	Variants   []string `json:"variants" need:"yes" about:"the images, each as path of input docker"`
	Repository string   `json:"repository" about:"name for uploads, path[:tag], below the component's name; from the root with a / before it"`
}

func openDockerMulti(ctx context.Context, env *ocm.Env, s ocm.Spec) (ocm.Content, error) {
	var d dockerMultiSpec
	if err := s.Members(&d); err != nil {
		return ocm.Content{}, err
	}
	if err := checkHint(s, d.Repository); err != nil {
		return ocm.Content{}, err
	}
	switch {
	case len(d.Variants) == 0:
		return ocm.Content{}, fmt.Errorf("input %s: variants: there is none: %w", s.Type, ocm.ErrInvalid)
	case len(d.Variants) > MaxVariants:
		return ocm.Content{}, fmt.Errorf("input %s: variants: %d images, accepted are %d: %w", s.Type, len(d.Variants), MaxVariants, ocm.ErrLimit)
	}
	var images []ocm.Content
	for _, path := range d.Variants {
		c, err := dockerImage(ctx, env, s, path)
		if err != nil {
			return ocm.Content{}, fmt.Errorf("input %s: variants: %.200q: %w", s.Type, path, err)
		}
		images = append(images, c)
	}
	c, err := blob.IndexOf(ctx, images)
	if err != nil {
		return ocm.Content{}, fmt.Errorf("input %s: variants: %w", s.Type, err)
	}
	c.Hint = d.Repository
	return c, nil
}

// dockerImage opens an archive, or what a daemon saves.
func dockerImage(ctx context.Context, env *ocm.Env, s ocm.Spec, path string) (ocm.Content, error) {
	isFile := slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz"}, func(end string) bool { return strings.HasSuffix(path, end) })
	if !isFile {
		return fromDaemon(ctx, env, path)
	}
	boundary, name, err := place(env, s, path)
	if err != nil {
		return ocm.Content{}, err
	}
	archive, err := blob.FileIn(boundary, name, "application/x-tar")
	if err != nil {
		return ocm.Content{}, confined(err, s, boundary)
	}
	return blob.DockerArchive(ctx, archive, "")
}
