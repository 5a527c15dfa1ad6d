// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	ociv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"ocm"
	"ocm/oci"
)

// otherDigest is well formed and belongs to nothing.
func otherDigest() digest.Digest { return digest.FromString("nothing " + unique()) }

func testPushKnown(t *testing.T, f fixture) {
	d, b := newBlob(100_000)
	wantExists(t, f.repo, d, false)
	push(t, f.repo, d, b)
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, b)

	d.Size++
	wantExists(t, f.repo, d, false) // another size is other content
	d.Size = -1
	wantExists(t, f.repo, d, true) // an unknown size is not compared
	wantBytes(t, f.repo, d, b)

	// With a known digest the size may be unknown, and is filled in.
	d, b = newBlob(10)
	unknown := d
	unknown.Size = -1
	got, err := f.repo.Push(t.Context(), unknown, bytes.NewReader(b))
	if err != nil || got.Digest != d.Digest || got.Size != d.Size {
		t.Fatalf("push with unknown size: expected %+v, found %+v, %v", d, got, err)
	}
}

func testPushUnknown(t *testing.T, f fixture) {
	for _, size := range []int64{-1, 0} { // 0 is what an empty descriptor says
		d, b := newBlob(100_000)
		got, err := f.repo.Push(t.Context(), ociv1.Descriptor{MediaType: d.MediaType, Size: size}, iotest.OneByteReader(bytes.NewReader(b)))
		if err != nil || got.Digest != d.Digest || got.Size != d.Size || got.MediaType != d.MediaType {
			t.Fatalf("expected the complete descriptor %+v, found %+v, %v", d, got, err)
		}
		wantExists(t, f.repo, d, true)
		wantBytes(t, f.repo, d, b)
	}
}

func testPushWrongDigest(t *testing.T, f fixture) {
	d, b := newBlob(100_000)
	wrong := d
	wrong.Digest = otherDigest()
	_, err := f.repo.Push(t.Context(), wrong, bytes.NewReader(b))
	wantErr(t, err, ocm.ErrDigest)
	wantExists(t, f.repo, wrong, false)
	wantExists(t, f.repo, d, false)
	_, err = f.repo.Fetch(t.Context(), wrong)
	wantErr(t, err, ocm.ErrNotFound)
}

func testPushWrongSize(t *testing.T, f fixture) {
	for _, by := range []int64{-1, 1, 1 << 20} {
		d, b := newBlob(1000)
		wrong := d
		wrong.Size += by
		_, err := f.repo.Push(t.Context(), wrong, bytes.NewReader(b))
		wantErr(t, err, ocm.ErrDigest)
		wantExists(t, f.repo, d, false)
		wantExists(t, f.repo, wrong, false)
	}
}

func testPushFailingReader(t *testing.T, f fixture) {
	broken := errors.New("the source broke")
	for _, known := range []bool{true, false} {
		d, b := newBlob(100_000)
		half := b[:len(b)/2]
		say := d
		if !known {
			say = ociv1.Descriptor{MediaType: d.MediaType, Size: -1}
		}
		_, err := f.repo.Push(t.Context(), say, io.MultiReader(bytes.NewReader(half), iotest.ErrReader(broken)))
		if err == nil {
			t.Fatal("expected an error, because the reader failed")
		}
		wantExists(t, f.repo, d, false)
		wantExists(t, f.repo, ociv1.Descriptor{Digest: digest.FromBytes(half), Size: int64(len(half))}, false)
		push(t, f.repo, d, b) // and the next attempt is not disturbed
		wantBytes(t, f.repo, d, b)
	}
}

func testPushHalfWay(t *testing.T, f fixture) {
	d, b := newBlob(100_000)
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := f.repo.Push(t.Context(), d, pr)
		pr.CloseWithError(err)
		done <- err
	}()
	if _, err := pw.Write(b[:len(b)/2]); err != nil {
		t.Fatal(err)
	}
	wantExists(t, f.repo, d, false)
	_, err := f.repo.Fetch(t.Context(), d)
	wantErr(t, err, ocm.ErrNotFound)
	if _, err := pw.Write(b[len(b)/2:]); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, b)
}

func testPushTwice(t *testing.T, f fixture) {
	d, b := newBlob(1000)
	push(t, f.repo, d, b)
	push(t, f.repo, d, b)
	wantBytes(t, f.repo, d, b)
	// What is there does not excuse wrong bytes, and survives them.
	_, err := f.repo.Push(t.Context(), d, bytes.NewReader(b[1:]))
	wantErr(t, err, ocm.ErrDigest)
	wantBytes(t, f.repo, d, b)
}

func testPushEmpty(t *testing.T, f fixture) {
	d := ociv1.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(nil)}
	push(t, f.repo, d, nil)
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, nil)
}

func testPushSHA512(t *testing.T, f fixture) {
	d, b := newBlob(1000)
	d.Digest = digest.SHA512.FromBytes(b)
	push(t, f.repo, d, b)
	wantExists(t, f.repo, d, true)
	wantBytes(t, f.repo, d, b)
	wrong, b2 := newBlob(1000)
	wrong.Digest = digest.SHA512.FromString("other")
	_, err := f.repo.Push(t.Context(), wrong, bytes.NewReader(b2))
	wantErr(t, err, ocm.ErrDigest)
}

func testPushConcurrently(t *testing.T, f fixture) {
	same, sameBytes := newBlob(200_000)
	const n = 8
	errs := make(chan error, 2*n)
	var wg sync.WaitGroup
	others := map[digest.Digest][]byte{}
	for range n {
		d, b := newBlob(200_000)
		others[d.Digest] = b
		wg.Go(func() {
			_, err := f.repo.Push(t.Context(), same, bytes.NewReader(sameBytes))
			errs <- err
		})
		wg.Go(func() {
			_, err := f.repo.Push(t.Context(), d, bytes.NewReader(b))
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantBytes(t, f.repo, same, sameBytes)
	for dg, b := range others {
		wantBytes(t, f.repo, ociv1.Descriptor{Digest: dg, Size: int64(len(b))}, b)
	}
}

func testAbsent(t *testing.T, f fixture) {
	wantAbsent(t, f.repo) // the repository does not exist
	d, raw := newManifest(t, f.repo)
	put(t, f.repo, d, raw, "1.0.0", oci.Any())
	wantAbsent(t, f.repo) // now it does
}

func wantAbsent(t *testing.T, r oci.Repo) {
	t.Helper()
	for _, mediaType := range []string{"", "application/octet-stream", ociv1.MediaTypeImageManifest, ociv1.MediaTypeImageIndex} {
		d := ociv1.Descriptor{MediaType: mediaType, Digest: otherDigest(), Size: 5}
		wantExists(t, r, d, false)
		_, err := r.Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrNotFound)
		_, err = r.Resolve(t.Context(), d.Digest.String())
		wantErr(t, err, ocm.ErrNotFound)
	}
	_, err := r.Resolve(t.Context(), "no-such-tag")
	wantErr(t, err, ocm.ErrNotFound)
}

// malformed are texts that must never become part of a path or URL.
func malformed() []digest.Digest {
	hex := otherDigest().Encoded()
	texts := []string{
		"sha256:", "sha256:abc", ":" + hex, "../../etc/passwd", "sha256:../../../../etc/passwd", "sha256:\x00",
		"sha256:" + hex + "/../x", "sha256:" + hex[:63] + "G", "sha256:" + hex[:63] + "A", "sha256:" + hex + "\n",
		"md5:" + hex[:32], "sha512:" + hex, "sha256." + hex, hex,
	}
	digests := make([]digest.Digest, len(texts))
	for i, s := range texts {
		digests[i] = digest.Digest(s)
	}
	return digests
}

func testMalformedDigests(t *testing.T, f fixture) {
	wantMalformedRefused(t, f.repo)
	_, b := newBlob(10)
	for _, bad := range malformed() {
		d := ociv1.Descriptor{MediaType: "application/octet-stream", Digest: bad, Size: int64(len(b))}
		_, err := f.repo.Push(t.Context(), d, bytes.NewReader(b))
		wantErr(t, err, ocm.ErrInvalid)
		d.MediaType = ociv1.MediaTypeImageManifest
		wantErr(t, f.repo.PutManifest(t.Context(), d, b, "", oci.Any()), ocm.ErrInvalid)
	}
}

func wantMalformedRefused(t *testing.T, r oci.Repo) {
	t.Helper()
	for _, bad := range malformed() {
		d := ociv1.Descriptor{MediaType: "application/octet-stream", Digest: bad, Size: -1}
		_, err := r.Fetch(t.Context(), d)
		wantErr(t, err, ocm.ErrInvalid)
		_, err = r.Exists(t.Context(), d)
		wantErr(t, err, ocm.ErrInvalid)
	}
	d := ociv1.Descriptor{Size: -1}
	_, err := r.Fetch(t.Context(), d)
	wantErr(t, err, ocm.ErrInvalid)
	_, err = r.Resolve(t.Context(), "sha256:../../../../etc/passwd")
	wantErr(t, err, ocm.ErrInvalid)
}
