package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// newToken returns a fresh token: 32 random bytes, URL-safe.
func newToken() secret {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return secret(base64.RawURLEncoding.EncodeToString(b[:]))
}

// ownTokenName is the name of the token that is made.
const ownTokenName = "own"

// ownToken returns the token kept in the data folder, and makes it the first time. Only its owner can read the file.
func ownToken(dataDir string) (secret, error) {
	t, err := readOwnToken(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return makeOwnToken(dataDir, ownTokenFile(dataDir))
	}
	return t, err
}

func ownTokenFile(dataDir string) string { return filepath.Join(dataDir, "token") }

// readOwnToken returns the token that was made before; the error wraps fs.ErrNotExist when none was.
func readOwnToken(dataDir string) (secret, error) {
	name := ownTokenFile(dataDir)
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	info, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	// On Windows the mode does not say who can read a file.
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("token file %s can be read by others: chmod 600 it", name)
	}
	t := strings.TrimSpace(string(data))
	if len(t) < minToken {
		return "", fmt.Errorf("token file %s holds no token of %d characters: delete it to have one made", name, minToken)
	}
	return secret(t), nil
}

// makeOwnToken writes the file whole or not at all: a half-written token would lock Mews out after a restart.
func makeOwnToken(dataDir, name string) (secret, error) {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return "", fmt.Errorf("data_dir: %w", err)
	}
	t := newToken()
	file, err := os.CreateTemp(dataDir, ".token-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write token: %w", err)
	}
	_, writeErr := file.WriteString(string(t) + "\n")
	err = errors.Join(writeErr, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return "", fmt.Errorf("write token: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return t, nil
}
