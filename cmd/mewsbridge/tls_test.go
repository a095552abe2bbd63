package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mewsbridge/publisher/natstest"
)

const testHost = "hooks.example.test"

// authority issues certificates for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

// sign issues a certificate for testHost.
func (a *authority) sign(serial int64, notAfter time.Time, public any) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{testHost},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, public, a.key)
}

// files writes a certificate and its key.
func (a *authority) files(t *testing.T, certFile, keyFile string, serial int64, notAfter time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.sign(serial, notAfter, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, certFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	replaceFile(t, keyFile, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// trust returns how a client that knows only this authority speaks TLS.
func (a *authority) trust() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, ServerName: testHost}
}

// serialAt returns which certificate the listener shows.
func serialAt(address string, config *tls.Config) (int64, error) {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
}

// postTLS sends a webhook and returns its status and the protocol.
func postTLS(t *testing.T, config *tls.Config, url, body string) (int, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Proto
}

// address is where the webhook listener is.
func (p *process) address() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(p.webhooks, "http://"), "/")
	return host
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	ca := newAuthority(t)
	soon := time.Now().Add(24 * time.Hour)
	ca.files(t, certFile, keyFile, 11, soon)
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_TLS_CERT="+certFile, "MEWSBRIDGE_TLS_KEY="+keyFile)
	hook := strings.Replace(p.webhooks, "http://", "https://", 1) + "?Token=" + testToken
	if status, proto := postTLS(t, ca.trust(), hook, body("r1")); status != 202 || proto != "HTTP/1.1" {
		t.Errorf("webhook: %d by %s", status, proto)
	}
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 400 {
		t.Errorf("without TLS: %d %s", status, answer)
	}
	old := ca.trust()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := serialAt(p.address(), old); err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}

	// A certificate without its key changes nothing; both together do.
	ca.files(t, certFile, filepath.Join(dir, "other.key"), 12, soon)
	p.waitFor(t, `"setting":"tls.cert, tls.key","error":`)
	if serial, err := serialAt(p.address(), ca.trust()); err != nil || serial != 11 {
		t.Errorf("with files that do not fit: certificate %d, %v", serial, err)
	}
	ca.files(t, certFile, keyFile, 13, soon)
	p.waitFor(t, `"not_after"`)
	if serial, err := serialAt(p.address(), ca.trust()); err != nil || serial != 13 {
		t.Errorf("after the renewal: certificate %d, %v", serial, err)
	}
}

func TestTLSFilesThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	newAuthority(t).files(t, certFile, keyFile, 1, time.Now().Add(-time.Hour))
	for _, test := range []struct{ cert, key, want string }{
		{certFile, keyFile, "the certificate ended on"},
		{certFile, filepath.Join(dir, "missing"), "tls.key: open"},
		{keyFile, certFile, "tls.cert and tls.key: "},
	} {
		var out, errs bytes.Buffer
		env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
		args := []string{"serve", "--data-dir", dir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--tls-cert", test.cert, "--tls-key", test.key}
		if code := run(t.Context(), env, args); code != exitConfig || !strings.Contains(errs.String(), test.want) {
			t.Errorf("exit code %d, %s", code, errs.String())
		}
	}
}

// TestACME has a certificate issued by a directory on this machine, which checks the host as a real one does: over the listener.
func TestACME(t *testing.T) {
	ca := newAuthority(t)
	directory := newACMEDirectory(t, ca)
	dir := t.TempDir()
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_TLS_ACME_HOSTS="+testHost, "MEWSBRIDGE_TLS_ACME_DIRECTORY="+directory.url())
	directory.challenge(p.address())
	natstest.Eventually(t, "the certificate", func() bool { _, err := serialAt(p.address(), ca.trust()); return err == nil })
	hook := strings.Replace(p.webhooks, "http://", "https://", 1) + "?Token=" + testToken
	if status, proto := postTLS(t, ca.trust(), hook, body("r1")); status != 202 || proto != "HTTP/1.1" {
		t.Errorf("webhook: %d by %s", status, proto)
	}
	if n := directory.issuedCount(); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}
	if kept, err := os.Stat(filepath.Join(dir, "data", "acme", testHost)); err != nil || kept.Mode().Perm() != 0o600 {
		t.Errorf("the certificate is not kept: %v, %v", kept, err)
	}
	other := ca.trust()
	other.ServerName = "other.example.test"
	if _, err := serialAt(p.address(), other); err == nil {
		t.Error("a certificate was issued for another host")
	}
	if n := directory.issuedCount(); n != 1 {
		t.Errorf("%d certificates were issued, want 1", n)
	}

	// What has been issued outlives the process; an authority that is away is said.
	p.signal(t, os.Interrupt)
	if err := p.wait(t); err != nil {
		t.Errorf("stop: %v", err)
	}
	directory.close()
	again := startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_TLS_ACME_HOSTS="+testHost+",second.example.test", "MEWSBRIDGE_TLS_ACME_DIRECTORY="+directory.url())
	if _, err := serialAt(again.address(), ca.trust()); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	other.ServerName = "second.example.test"
	if _, err := serialAt(again.address(), other); err == nil {
		t.Error("a certificate without an authority")
	}
	again.waitFor(t, fmt.Sprintf(`"host":%q`, "second.example.test"))
}
