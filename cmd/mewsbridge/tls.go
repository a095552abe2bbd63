package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// alpnHTTP is the only protocol of the webhook listener: an answer that was written is known for sure on a connection of its own.
const alpnHTTP = "http/1.1"

// servesTLS reports whether the webhook listener speaks TLS.
func (c *Config) servesTLS() bool { return c.TLSCert != "" || len(c.ACMEHosts) > 0 }

// listenerTLS returns how the webhook listener speaks TLS; nil when it does not.
func (a *app) listenerTLS() (*tls.Config, error) {
	switch {
	case a.cfg.TLSCert != "":
		return a.fileTLS()
	case len(a.cfg.ACMEHosts) > 0:
		return a.acmeTLS(), nil
	}
	return nil, nil
}

// fileTLS uses the certificate of two files, and follows them.
func (a *app) fileTLS() (*tls.Config, error) {
	current, err := readCertificate(a.cfg.TLSCert, a.cfg.TLSKey)
	if err != nil {
		return nil, withCode(exitConfig, err)
	}
	var inUse atomic.Pointer[tls.Certificate]
	inUse.Store(current)
	a.reloader.watched = append(a.reloader.watched, &watched{
		setting: "tls.cert, tls.key", files: []string{a.cfg.TLSCert, a.cfg.TLSKey},
		apply: func(contents [][]byte) ([]zap.Field, error) {
			next, err := parseCertificate(contents[0], contents[1])
			if err != nil || slices.EqualFunc(next.Certificate, inUse.Load().Certificate, bytes.Equal) {
				return nil, err
			}
			inUse.Store(next)
			return []zap.Field{zap.Time("not_after", next.Leaf.NotAfter)}, nil
		},
	})
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpnHTTP},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return inUse.Load(), nil },
	}, nil
}

// readCertificate reads a certificate and its key. One that has expired is an error: Mews would not send to it.
func readCertificate(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("tls.key: %w", err)
	}
	pair, err := parseCertificate(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert and tls.key: %w", err)
	}
	return pair, nil
}

func parseCertificate(cert, key []byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("the certificate ended on %s: put a new one in place", pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return &pair, nil
}

// acmeTLS has certificates issued as they are asked for, and renewed well before they end. The authority checks the host over
// the webhook listener itself (TLS-ALPN-01).
func (a *app) acmeTLS() *tls.Config {
	manager := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(a.cfg.acmeCacheDir()), HostPolicy: autocert.HostWhitelist(a.cfg.ACMEHosts...),
		Email: a.cfg.ACMEEmail, Client: &acme.Client{DirectoryURL: a.cfg.ACMEDirectory, UserAgent: "mewsbridge"},
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpnHTTP, acme.ALPNProto},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			cert, err := manager.GetCertificate(hello)
			if err != nil && slices.Contains(a.cfg.ACMEHosts, hello.ServerName) { // other names are asked for by strangers
				a.log.Warn("no certificate; trying again with the next connection", zap.String("host", hello.ServerName), zap.Error(err))
			}
			return cert, err
		},
	}
}

// acmeCacheDir is where certificates and the key of the account are kept, readable by their owner alone.
func (c *Config) acmeCacheDir() string {
	if c.ACMECacheDir != "" {
		return c.ACMECacheDir
	}
	return filepath.Join(c.DataDir, "acme")
}

// validateTLS holds the settings of the webhook listener's TLS against each other.
func (c *Config) validateTLS(need func(bool, string, ...any)) {
	need((c.TLSCert == "") == (c.TLSKey == ""), "tls.cert and tls.key: set both")
	need(len(c.ACMEHosts) == 0 || c.TLSCert == "", "tls.cert and tls.acme.hosts: set one of them")
	need(len(c.ACMEHosts) > 0 || c.ACMEEmail == "" && c.ACMECacheDir == "", "tls.acme: set tls.acme.hosts too")
	for _, host := range c.ACMEHosts {
		need(hostPattern.MatchString(host), "tls.acme.hosts: %q is not a host name such as hooks.example.com", host)
	}
	need(isDirectoryURL(c.ACMEDirectory), "tls.acme.directory: %q is not an https URL", c.ACMEDirectory)
}

var hostPattern = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// isDirectoryURL takes https, and http for an authority on this machine.
func isDirectoryURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}
