// SPDX-License-Identifier: Apache-2.0

package blob_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"ocm/blob"
)

// A directory is packed, compressed and unpacked again, all of it as a stream.
func ExampleTarDir() {
	ctx := context.Background()
	tmp, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	if err := os.WriteFile(filepath.Join(tmp, "hello.txt"), []byte("hello\n"), 0o644); err != nil {
		log.Fatal(err)
	}

	dir, err := blob.TarDir(tmp, blob.DirOptions{Include: []string{"**/*.txt"}})
	if err != nil {
		log.Fatal(err)
	}
	r, err := blob.Gzip(dir, "application/x-tar+gzip").Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	if err := blob.Extract(ctx, r, filepath.Join(tmp, "out"), blob.ExtractOptions{}); err != nil {
		log.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(tmp, "out", "hello.txt"))
	fmt.Printf("%s%v\n", b, err)
	// Output:
	// hello
	// <nil>
}

// An archive with an image is opened as the image that it holds.
func ExampleLayout() {
	ctx := context.Background()
	archive, err := blob.File("testdata/image-artifactset.tgz", "application/vnd.oci.image.manifest.v1+tar+gzip")
	if err != nil {
		log.Fatal(err)
	}
	image, err := blob.Layout(ctx, archive)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(image.Root.MediaType)
	fmt.Println(image.Root.Digest)
	fmt.Println(blob.Check(ctx, image))
	// Output:
	// application/vnd.oci.image.manifest.v1+json
	// sha256:c9f51ec01c6e008b295c91d70cd3c3ee5fac2694ed32ba5f9ffcf27d9fe8c2e5
	// <nil>
}

// A reader that promises what its descriptor says, or an error.
func ExampleOpen() {
	good := blob.Bytes("text/plain", []byte("good"))
	swapped := blob.Bytes("text/plain", []byte("evil"))
	r, err := blob.Open(context.Background(), swapped.From, good.Root)
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, r)
	fmt.Println(err)
	// Output:
	// blob: expected sha256:770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c, found sha256:b5c1fb2efc6d6b4674c2fdcc48ce01b43a3b7c03763c0c3355de0099ee0f8c73: digest mismatch
}
