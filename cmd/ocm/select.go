// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"ocm"
	"ocm/blob"
	"ocm/transfer"
)

// selectOptions are the flags that leave something out of a transfer.
type selectOptions struct {
	include, exclude, platforms []string
}

func addSelectFlags(fs *pflag.FlagSet, o *selectOptions) {
	fs.StringArrayVar(&o.include, "include", nil, "copy only what matches this `rule`: key=value,... of component, resource, source, type, access; may be repeated")
	fs.StringArrayVar(&o.exclude, "exclude", nil, "leave out what matches this `rule`, as of --include; may be repeated")
	fs.StringSliceVar(&o.platforms, "platform", nil, "of images for several platforms copy only these, such as linux/amd64 (`os/architecture,...`)")
}

// selected is what the flags say, checked.
type selected struct {
	rules     *transfer.Select // nil: everything
	platforms []blob.Platform
}

func (o *selectOptions) parse() (selected, error) {
	var s selected
	var err error
	if len(o.include)+len(o.exclude) > 0 {
		if s.rules, err = transfer.NewSelect(o.include, o.exclude); err != nil {
			return s, usage(fmt.Errorf("--include, --exclude: %w", err))
		}
	}
	if s.platforms, err = transfer.ParsePlatforms(o.platforms); err != nil {
		return s, usage(fmt.Errorf("--platform: %w", err))
	}
	return s, nil
}

// roots are the versions that a transfer begins with. What was named must not be left out; of a
// whole archive the rest is taken.
func (s selected) roots(list []found, named bool) ([]ocm.Version, error) {
	var roots []ocm.Version
	for _, f := range list {
		c := &f.descriptor.Component
		switch {
		case s.rules.Has(c.Name, c.Version):
			roots = append(roots, f.version)
		case named:
			return nil, usagef("%s:%s is what is to be copied, and --include or --exclude leaves it out", c.Name, c.Version)
		}
	}
	if len(roots) == 0 {
		return nil, usagef("--include and --exclude leave nothing to be copied")
	}
	return roots, nil
}
