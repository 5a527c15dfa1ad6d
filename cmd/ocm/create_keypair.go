// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ocm"
	"ocm/sign/cert"
	"ocm/sign/ec"
	"ocm/sign/rsa"
)

// Sizes of RSA keys in bits.
const (
	defaultKeyBits = 4096
	minKeyBits     = 2048
	maxKeyBits     = 8192
)

const createKeyPairLong = `Make a pair of keys for signing: a private key (PKCS#8, readable only by you) and the public key
that others verify with (PKIX), both as PEM files. Without names they are called after the
algorithm, as in rsa.priv and rsa.pub; with one name, the public key's is made of it.

RSA is what every OCM tool verifies. ECDSA-P256, ECDSA-P384 and Ed25519 have short keys and
signatures and are fast, but other OCM tools do not know them and refuse their signatures.`

const createKeyPairExample = `  ocm create keypair

  # for another algorithm
  ocm create keypair --algorithm Ed25519

  # with other names
  ocm create keypair --algorithm ECDSA-P384 acme.priv acme.pub`

type keyPairOptions struct {
	algorithm string
	force     bool
	bits      int
}

func (o *keyPairOptions) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVarP(&o.force, "force", "f", false, "overwrite existing files")
	fs.IntVar(&o.bits, "bits", defaultKeyBits, fmt.Sprintf("`size` of an RSA key, %d to %d", minKeyBits, maxKeyBits))
}

func newCreateKeyPair(a *app) *cobra.Command {
	var o keyPairOptions
	cmd := &cobra.Command{
		Use:     "keypair [private key file [public key file]] [flags]",
		Aliases: []string{"keypairs"},
		Short:   "Make a pair of keys for signing",
		Long:    createKeyPairLong,
		Example: createKeyPairExample,
		Args:    keyPairArguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.algorithm != cert.RSA && cmd.Flags().Changed("bits") {
				return usagef("--bits is for RSA; the size of %s keys is fixed", o.algorithm)
			}
			return runCreateKeyPair(a, o, args)
		},
	}
	addEnum(cmd.Flags(), &o.algorithm, "algorithm", "S", "what the keys are for", append([]string{cert.RSA}, ec.Algorithms...)...)
	o.AddFlags(cmd.Flags())
	return cmd
}

func keyPairArguments(_ *cobra.Command, args []string) error {
	if len(args) > 2 {
		return usagef("unexpected argument %q: expected the private key's file and the public key's", args[2])
	}
	return nil
}

func runCreateKeyPair(a *app, o keyPairOptions, args []string) error {
	if o.bits < minKeyBits || o.bits > maxKeyBits {
		return usagef("--bits %d: expected %d to %d", o.bits, minKeyBits, maxKeyBits)
	}
	private, public := keyNames(o.algorithm, args)
	if filepath.Clean(private) == filepath.Clean(public) {
		return usagef("private and public key would both be %s", private)
	}
	for _, path := range [...]string{private, public} {
		if _, err := os.Lstat(path); !o.force && err == nil {
			return withHint(fmt.Errorf("%s: %w", path, ocm.ErrExists), "choose other names, or overwrite the files with --force")
		}
	}
	privatePEM, publicPEM, err := o.generate()
	if err != nil {
		return err
	}
	if err := writeKey(private, privatePEM, 0o600, o.force); err != nil {
		return err
	}
	if err := writeKey(public, publicPEM, 0o644, o.force); err != nil {
		if !o.force {
			os.Remove(private) // half a pair is of no use and would be in the way
		}
		return err
	}
	_, err = fmt.Fprintf(a.out, "private key: %s\npublic key:  %s\n", private, public)
	return err
}

func (o *keyPairOptions) generate() (privatePEM, publicPEM []byte, err error) {
	if o.algorithm == cert.RSA {
		return rsa.GenerateKeyPair(o.bits)
	}
	return ec.GenerateKeyPair(o.algorithm)
}

// keyNames completes the names of the files.
func keyNames(algorithm string, args []string) (private, public string) {
	switch len(args) {
	case 0:
		name := strings.ToLower(algorithm)
		return name + ".priv", name + ".pub"
	case 1:
		return args[0], strings.TrimSuffix(args[0], ".priv") + ".pub"
	}
	return args[0], args[1]
}

// writeKey writes a whole file or none. The file never has more permissions than it
// should. Without force it never replaces one, not even one that appears just now.
func writeKey(path string, pemBytes []byte, mode fs.FileMode, force bool) error {
	if force {
		return replaceKey(path, pemBytes, mode)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: %w", path, ocm.ErrExists)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(pemBytes)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

// replaceKey keeps the old file until the new one is complete.
func replaceKey(path string, pemBytes []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".ocm-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	_, err = f.Write(pemBytes)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
