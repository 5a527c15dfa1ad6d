// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm/ctf"
)

const cleanLong = `Make room in an archive that is a folder: what no manifest of its index needs goes, and so does
what interrupted writes left. Versions, images and everything that they refer to stay.

The folder may be served meanwhile, also by "ocm serve --writable". What was stored less than
--older-than ago stays, and so does what was found there by somebody who needs it. A push may take
no longer than that from its first blob to its manifest: later it is refused, and the same
push again brings what is missing. While "ocm transfer", "ocm add" or the like writes into the
folder, nothing goes: run it when they have finished. One that begins meanwhile waits. Of one that
broke off, the beginnings of large blobs go, too.

Manifests without a tag are what a version was before it was replaced, or have lost their tag;
they stay, to be had by digest. With --untagged they go, unless something that stays needs them:
an index that has them, a subject (in either direction: signatures stay with what is signed),
a component descriptor that mentions the digest.

If one manifest cannot be read, nothing goes, because nobody knows what it needs.

json is an object with path, dryRun, freed (bytes), manifests, blobs, leftovers and young (how many
are not needed and stay for their age).`

const cleanExample = `  # what would go
  ocm clean archive ./archive --dry-run -o wide

  # make room, also of versions that were replaced
  ocm clean archive ./archive --untagged --older-than 24h`

type cleanOptions struct {
	dryRun    bool
	untagged  bool
	olderThan time.Duration
	output    string
}

func (o *cleanOptions) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&o.dryRun, "dry-run", false, "only show what would go")
	fs.BoolVar(&o.untagged, "untagged", false, "let manifests go that have no tag and that nothing needs")
	fs.DurationVar(&o.olderThan, "older-than", time.Hour, "let nothing go that was stored or needed in this `time`, such as 30m or 24h")
	addEnum(fs, &o.output, "output", "o", "output format", "text", "wide", "json", "yaml")
}

func newCleanArchive(a *app) *cobra.Command {
	var o cleanOptions
	cmd := &cobra.Command{
		Use:     "archive <folder> [flags]",
		Aliases: []string{"ctf"},
		Short:   "Take out of a folder what nothing in it needs",
		Long:    cleanLong,
		Example: cleanExample,
		Args:    arguments("<folder>"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runClean(cmd.Context(), a, o, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// cleaned is what is told of it.
type cleaned struct {
	Path      string                `json:"path"`
	DryRun    bool                  `json:"dryRun"`
	Freed     int64                 `json:"freed"` // bytes
	Manifests []ctf.CleanedManifest `json:"manifests"`
	Blobs     []ctf.CleanedBlob     `json:"blobs"`
	Leftovers []ctf.CleanedFile     `json:"leftovers"`
	Young     int                   `json:"young"`
}

func runClean(ctx context.Context, a *app, o cleanOptions, path string) error {
	if o.olderThan < 0 {
		return usagef("--older-than %s: expected a time of zero or more, such as 1h", o.olderThan)
	}
	store, err := openCleaned(path)
	if err != nil {
		return err
	}
	defer store.Close()
	done, err := store.Durable().Clean(ctx, ctf.CleanOptions{OlderThan: o.olderThan, Untagged: o.untagged, DryRun: o.dryRun})
	c := cleaned{Path: path, DryRun: o.dryRun, Manifests: done.Manifests, Blobs: done.Blobs, Leftovers: done.Leftovers, Young: done.Young}
	for _, b := range c.Blobs {
		c.Freed += b.Size
	}
	for _, f := range c.Leftovers {
		c.Freed += f.Size
	}
	a.err.stopProgress()
	if err != nil {
		if len(c.Blobs)+len(c.Leftovers) > 0 && !o.dryRun {
			fmt.Fprintf(a.err, "%s went before that.\n", size(c.Freed))
		}
		return err
	}
	if o.output == "json" || o.output == "yaml" {
		return printValue(a.out, o.output, c)
	}
	if o.output == "wide" && len(c.Manifests)+len(c.Blobs)+len(c.Leftovers) > 0 {
		if err := c.table().write(a.out); err != nil {
			return err
		}
	}
	return c.sum(a.out, o)
}

// openCleaned opens the folder of an archive, and refuses what else can be named.
func openCleaned(path string) (*ctf.Store, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, noArchive(path, "the folder of an archive")
	}
	store, err := ctf.Open(path)
	if err != nil {
		return nil, err
	}
	if _, file := store.Feeder(); file {
		store.Close()
		return nil, usagef("%s: expected the folder of an archive, found an archive in one file: unpack it (mkdir archive; tar -C archive -xf %[1]s) and clean the folder", path)
	}
	return store, nil
}

// table lists everything that went.
func (c *cleaned) table() *table {
	t := newTable("WHAT*", "NAME", "BYTES")
	t.keep = 2 // digests are there to be copied
	for _, m := range c.Manifests {
		t.add("manifest", m.Repository+"@"+string(m.Digest), "")
	}
	for _, b := range c.Blobs {
		t.add("blob", string(b.Digest), fmt.Sprint(b.Size))
	}
	for _, f := range c.Leftovers {
		t.add("leftover", f.Name, fmt.Sprint(f.Size))
	}
	return t
}

// sum tells it in a few lines.
func (c *cleaned) sum(w io.Writer, o cleanOptions) error {
	what := []string{count(len(c.Blobs), "blob")}
	if len(c.Manifests) > 0 {
		what = append(what, count(len(c.Manifests), "untagged manifest"))
	}
	if len(c.Leftovers) > 0 {
		what = append(what, count(len(c.Leftovers), "leftover")+" of interrupted writes")
	}
	verb := "Freed"
	if c.DryRun {
		verb = "Would free"
	}
	text := fmt.Sprintf("%s %s: %s\n", verb, size(c.Freed), strings.Join(what, ", "))
	if c.Young > 0 {
		text += fmt.Sprintf("Not needed, and kept because it may be soon: %s, younger than %s\n", count(c.Young, "blob"), o.olderThan)
	}
	_, err := io.WriteString(w, text)
	return err
}
