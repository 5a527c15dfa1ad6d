// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"testing"

	"ocm"
)

// readers are the accessors that read entries.
var readers = []func(*Config) error{
	func(c *Config) error { _, err := c.Resolvers(); return err },
	func(c *Config) error { _, _, err := c.Signing("x"); return err },
	func(c *Config) error { _, err := c.HTTP(); return err },
	func(c *Config) error { _, err := c.Filesystem(); return err },
	func(c *Config) error { _, err := c.Transfer(); return err },
	func(c *Config) error { _, err := c.Plugins(); return err },
	func(c *Config) error { _, err := c.PluginRegistries(); return err },
	func(c *Config) error { _, err := c.Keys(); return err },
}

// TestTypesAreRead: each member that is described is one that is read, because a value of a wrong kind in its place
// is an error of some accessor. Credentials are read by another package.
func TestTypesAreRead(t *testing.T) {
	t.Parallel()
	for _, typ := range Types() {
		if ignored(typ.Names[0]) != "" && !Is(typ.Names[0], GenericType) || typ.About == "" || len(typ.Fields) == 0 {
			t.Errorf("%s: %+v", typ.Names[0], typ)
		}
		if Is(typ.Names[0], CredentialsType) {
			continue
		}
		checkFields(t, typ.Names[0], typ.Fields, "%s")
	}
}

func checkFields(t *testing.T, typ string, fields []ocm.Field, around string) {
	t.Helper()
	for _, f := range fields {
		if f.About == "" {
			t.Errorf("%s: %s has no description", typ, f.Name)
		}
		with := func(name string) error {
			return readAll(fmt.Appendf(nil, `{"type":"%s",%s}`, typ, fmt.Sprintf(around, fmt.Sprintf(`"%s":%s`, name, wrong(f.Kind)))))
		}
		err := with(f.Name)
		if other := with("no such member"); !errors.Is(err, ocm.ErrInvalid) || fmt.Sprint(err) == fmt.Sprint(other) {
			t.Errorf("%s: %s is not read: %v", typ, f.Name, err)
		}
		switch f.Kind {
		case "list of object":
			checkFields(t, typ, f.Fields, fmt.Sprintf(around, fmt.Sprintf(`"%s":[{%%s}]`, f.Name)))
		case "map of object":
			checkFields(t, typ, f.Fields, fmt.Sprintf(around, fmt.Sprintf(`"%s":{"x":{%%s}}`, f.Name)))
		}
	}
}

// wrong is a value that is not of a kind.
func wrong(kind string) string {
	if kind == "text" || kind == "bool" || kind == "number" {
		return "[true]"
	}
	return "true"
}

// readAll asks all accessors.
func readAll(text []byte) error {
	c, err := Parse(text)
	for _, reader := range readers {
		if err == nil {
			err = reader(c)
		}
	}
	return err
}
