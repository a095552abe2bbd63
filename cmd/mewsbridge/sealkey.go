package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"mewsbridge/schema/seal"
)

func newSealKeyCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:   "seal-key FILE",
		Short: "Make the key pair with which credentials are sealed",
		Long: `Make a key pair. The private key goes to FILE, which only you can read; the public key is printed, for the setting seal_to
of the bridge.

The bridge needs the public key alone. Keep FILE where the credentials are used, and a copy of it: without it nobody opens what
was sealed.`,
		Example: `  mewsbridge seal-key mews.key
  MEWSBRIDGE_SEAL_TO=X… mewsbridge serve
  mewsbridge unseal --key-file mews.key --since 1h`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one new file for the private key")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			public, err := writeKeyPair(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(env.Stdout, public)
			return withCode(exitInternal, err)
		},
	}
}

// writeKeyPair writes a new private key to the file name, which must not be there yet, and returns its public key.
func writeKeyPair(name string) (public string, err error) {
	seed, public, err := seal.GenerateKey()
	if err != nil {
		return "", withCode(exitInternal, err)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return "", withCode(exitUsage, fmt.Errorf("%s is there already: a key that was in use must not be lost; give another name", name))
	}
	if err != nil {
		return "", withCode(exitInternal, fmt.Errorf("write private key: %w", err))
	}
	_, err = file.Write(append(seed, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", withCode(exitInternal, fmt.Errorf("write private key: %w", errors.Join(err, os.Remove(name))))
	}
	return public, nil
}
