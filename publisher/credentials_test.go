package publisher_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// TestCredentials connects in every way that can be configured, to a server that asks for it, and stores a webhook.
func TestCredentials(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, public := keys(t, user)
	seedFile := writeFile(t, "user.nk", seed)
	trusted := newOperator(t)
	pki := newPKI(t)

	for _, test := range []struct {
		name   string
		server natstest.Option
		client func(*publisher.Config)
	}{
		{
			"user and password",
			func(o *server.Options) { o.Username, o.Password = "bridge", "a password" },
			func(c *publisher.Config) { c.Username, c.Password = "bridge", "a password" },
		},
		{
			"token",
			func(o *server.Options) { o.Authorization = "a-server-token" },
			func(c *publisher.Config) { c.Token = "a-server-token" },
		},
		{
			"nkey seed file",
			func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} },
			func(c *publisher.Config) { c.NKeySeedFile = seedFile },
		},
		{
			"creds file",
			trusted.configure,
			func(c *publisher.Config) { c.CredsFile = trusted.credsFile },
		},
		{
			"TLS with a client certificate",
			pki.configure,
			func(c *publisher.Config) { c.TLSCA, c.TLSCert, c.TLSKey = pki.ca, pki.clientCert, pki.clientKey },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := natstest.Start(t, test.server)
			cfg := testConfig(s.ClientURL())
			stranger := mustStart(t, cfg)
			if err := publish(t, stranger, webhook("stranger", 1)); err == nil {
				t.Error("stored without credentials")
			}
			test.client(&cfg)
			p := mustStart(t, cfg)
			waitReady(t, p)
			if err := publish(t, p, webhook("d", 10)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCredentialFilesAreLookedAtAtStart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	notPEM := writeFile(t, "ca.pem", []byte("not PEM"))
	for name, change := range map[string]func(*publisher.Config){
		"creds":       func(c *publisher.Config) { c.CredsFile = missing },
		"nkey seed":   func(c *publisher.Config) { c.NKeySeedFile = missing },
		"tls ca":      func(c *publisher.Config) { c.TLSCA = missing },
		"not a ca":    func(c *publisher.Config) { c.TLSCA = notPEM },
		"tls pair":    func(c *publisher.Config) { c.TLSCert, c.TLSKey = missing, missing },
		"not an URL":  func(c *publisher.Config) { c.URLs = []string{"nats://user:secret@host:port"} },
		"neither URL": func(c *publisher.Config) { c.URLs = nil },
	} {
		cfg := testConfig("nats://127.0.0.1:1")
		change(&cfg)
		_, err := publisher.New(cfg, zap.NewNop())
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error repeats the password: %v", name, err)
		}
	}
}

func keys(t *testing.T, pair nkeys.KeyPair) (seed []byte, public string) {
	t.Helper()
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	return seed, public
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// operator is a trusted operator with a system account, an account with JetStream, and one user of that.
type operator struct {
	public    string
	system    string
	claims    map[string]string // by account
	credsFile string
}

func newOperator(t *testing.T) operator {
	t.Helper()
	pair := func(kp nkeys.KeyPair, err error) nkeys.KeyPair {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return kp
	}
	op, acc, user := pair(nkeys.CreateOperator()), pair(nkeys.CreateAccount()), pair(nkeys.CreateUser())
	_, sysPublic := keys(t, pair(nkeys.CreateAccount()))
	sysJWT, err := jwt.NewAccountClaims(sysPublic).Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	_, opPublic := keys(t, op)
	_, accPublic := keys(t, acc)
	userSeed, userPublic := keys(t, user)

	account := jwt.NewAccountClaims(accPublic)
	account.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := account.Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	userJWT, err := jwt.NewUserClaims(userPublic).Encode(acc)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, userSeed)
	if err != nil {
		t.Fatal(err)
	}
	return operator{public: opPublic, system: sysPublic, claims: map[string]string{accPublic: accountJWT, sysPublic: sysJWT}, credsFile: writeFile(t, "bridge.creds", creds)}
}

func (o operator) configure(options *server.Options) {
	resolver := &server.MemAccResolver{}
	for account, claim := range o.claims {
		_ = resolver.Store(account, claim) // in memory: cannot fail
	}
	options.TrustedKeys, options.AccountResolver, options.SystemAccount = []string{o.public}, resolver, o.system
}

// pki is a certificate authority with a server's and a client's certificate.
type pki struct {
	ca, clientCert, clientKey string
	roots                     *x509.CertPool
	server                    tls.Certificate
}

func newPKI(t *testing.T) pki {
	t.Helper()
	caKey, ca := newKey(t), &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caPEM := sign(t, ca, ca, &caKey.PublicKey, caKey)
	leaf := func(serial int64, usage x509.ExtKeyUsage) (certPEM, keyPEM []byte) {
		key := newKey(t)
		certPEM = sign(t, &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "bridge"}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}, ca, &key.PublicKey, caKey)
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return certPEM, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	}
	serverPEM, serverKey := leaf(2, x509.ExtKeyUsageServerAuth)
	clientPEM, clientKey := leaf(3, x509.ExtKeyUsageClientAuth)
	pair, err := tls.X509KeyPair(serverPEM, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	return pki{
		ca: writeFile(t, "ca.pem", caPEM), clientCert: writeFile(t, "client.pem", clientPEM), clientKey: writeFile(t, "client.key", clientKey),
		roots: roots, server: pair,
	}
}

func (p pki) configure(o *server.Options) {
	o.TLSVerify, o.TLSTimeout = true, 2
	o.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{p.server}, ClientCAs: p.roots, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
