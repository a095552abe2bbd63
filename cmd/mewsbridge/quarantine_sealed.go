package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"mewsbridge/schema/seal"
)

// sealedFlags let a command read what the bridge sealed.
type sealedFlags struct{ keyFile string }

func (f *sealedFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.keyFile, "key-file", "", "file with the private curve keys (SX…) of what is sealed (default the keys in $"+envUnsealKey+")")
}

// errSealed is returned for a message that is sealed when there is no key at all.
type errSealed struct{ key string }

func (e *errSealed) Error() string {
	return fmt.Sprintf("sealed to %s: give --key-file, or set %s", e.key, envUnsealKey)
}

// unsealed returns h with its bytes as they were before they were sealed, and sealedTo set when they were. Without the key
// that it takes, the error says which.
func (h held) unsealed(opener *seal.Opener) (held, error) {
	var body map[string]string
	if json.Unmarshal(h.data, &body) != nil || len(body) != 1 {
		return h, nil
	}
	key, ok := seal.Recipient(body[seal.BodyMember])
	if !ok {
		return h, nil
	}
	h.sealedTo = key
	if opener == nil {
		return h, &errSealed{key}
	}
	plain, err := opener.Open(h.data)
	if keyErr, ok := errors.AsType[*seal.KeyError](err); ok {
		return h, &errSealed{keyErr.Key}
	}
	if err != nil {
		return h, fmt.Errorf("the seal is damaged: %w", err)
	}
	h.data, h.Bytes = plain, len(plain)
	return h, nil
}
