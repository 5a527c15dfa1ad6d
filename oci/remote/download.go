// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"

	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"

	"ocm"
	"ocm/web"
)

// open prepares the download of a blob. That a large one is missing is told by the first Read. Whether the
// parts of a broken one fit is seen by whoever checks the digest.
func (r *repo) open(ctx context.Context, d ociv1.Descriptor) (io.ReadCloser, error) {
	get := &web.Download{
		Ask: func(ctx context.Context, header http.Header) (*http.Response, error) {
			return r.askBlob(ctx, d, header)
		},
		Size: d.Size, Name: "registry " + r.String() + ": " + d.Digest.String(), Fixed: true,
		Pace: r.session.pace.Pace, Job: r.session.env.Job, Passing: passing,
	}
	if err := get.Open(ctx, d.Size < 0 || d.Size <= web.SmallDownload); err != nil {
		return nil, err
	}
	return get, nil
}

func (r *repo) askBlob(ctx context.Context, d ociv1.Descriptor, header http.Header) (*http.Response, error) {
	req, err := r.ask(ctx, http.MethodGet, "blobs/"+d.Digest.String(), auth.ActionPull)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	resp, err := r.session.Do(req)
	if err == nil && resp.StatusCode == http.StatusNotFound {
		web.Drop(resp)
		return nil, fmt.Errorf("%s: %s: %w", r, d.Digest, ocm.ErrNotFound)
	}
	return resp, err
}

// parseUploadRange reads how much of an upload a registry has: "0-last", by some with "bytes="
// in front. Some say 0-0 for nothing, and one byte is not worth to know better.
func parseUploadRange(v string) (size int64, ok bool) {
	v = strings.TrimPrefix(strings.TrimPrefix(v, "bytes="), "bytes ")
	from, to, _ := strings.Cut(v, "-")
	last, ok := web.ParseSize(to)
	if from != "0" || !ok {
		return 0, false
	}
	if last == 0 {
		return 0, true
	}
	return last + 1, true
}
