package nats_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
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

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/crypto/bcrypt"

	"mewsbridge/publisher/natstest"
)

// passwords are those of the users, by variable of users.conf. Operator's is given as a hash.
var passwords = map[string]string{
	"MEWS_BRIDGE_PASSWORD":       "bridge-password",
	"MEWS_CONSUMER_PASSWORD":     "consumer-password",
	"MEWS_INTEGRATIONS_PASSWORD": "integrations-password",
	"MEWS_OPERATOR_PASSWORD":     "operator-password",
	"MEWS_EDGE_PASSWORD":         "edge-password",
	"NATS_SYS_PASSWORD":          "sys-password",
}

// deployment is the servers of one of our files.
type deployment struct {
	servers []*natstest.Server
	urls    []string // with the scheme tls
	ca      string
}

// startSingle runs a server with single.conf.
func startSingle(t *testing.T) deployment {
	t.Helper()
	ca := setEnvironment(t)
	return newDeployment(ca, natstest.Start(t, configuredBy(t, "single.conf")))
}

// startCluster runs three servers with cluster.conf.
func startCluster(t *testing.T) deployment {
	t.Helper()
	ca := setEnvironment(t)
	return newDeployment(ca, natstest.Cluster(t, 3, configuredBy(t, "cluster.conf"))...)
}

func newDeployment(ca string, servers ...*natstest.Server) deployment {
	d := deployment{servers: servers, ca: ca}
	for _, url := range natstest.URLs(servers...) {
		d.urls = append(d.urls, strings.Replace(url, "nats://", "tls://", 1))
	}
	return d
}

// configuredBy takes the options from a file, and keeps of those given only ports, where nothing else listens, and the folder.
func configuredBy(t *testing.T, file string) natstest.Option {
	return func(o *server.Options) {
		t.Helper()
		t.Setenv("NATS_STORE_DIR", o.StoreDir)
		t.Setenv("NATS_NAME", o.ServerName)
		var routes []string
		for _, route := range o.Routes {
			routes = append(routes, `"`+route.String()+`"`)
		}
		t.Setenv("NATS_ROUTES", "["+strings.Join(routes, ", ")+"]")
		loaded, err := server.ProcessConfigFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !loaded.SyncAlways || loaded.StoreDir != o.StoreDir || loaded.TLSConfig == nil || loaded.JetStreamMaxStore == 0 {
			t.Fatalf("%s: sync always %v, store dir %s, TLS %v, storage %d", file, loaded.SyncAlways, loaded.StoreDir, loaded.TLSConfig != nil, loaded.JetStreamMaxStore)
		}
		loaded.Host, loaded.Port, loaded.HTTPPort, loaded.NoSigs, loaded.NoLog = o.Host, o.Port, 0, true, true
		loaded.Cluster.Host, loaded.Cluster.Port = o.Cluster.Host, o.Cluster.Port
		if loaded.LeafNode.Port != 0 {
			loaded.LeafNode.Host, loaded.LeafNode.Port = "127.0.0.1", natstest.Ports(t, 1)[0]
		}
		*o = *loaded
	}
}

// setEnvironment sets what the files take from the environment and is the same for all servers, and returns the file of the authority.
func setEnvironment(t *testing.T) (ca string) {
	t.Helper()
	for name, password := range passwords {
		t.Setenv(name, password)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(passwords["MEWS_OPERATOR_PASSWORD"]), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MEWS_OPERATOR_PASSWORD", string(hash))
	dir := t.TempDir()
	ca = filepath.Join(dir, "ca.pem")
	writeCertificates(t, dir)
	t.Setenv("NATS_TLS_CA", ca)
	t.Setenv("NATS_TLS_CERT", filepath.Join(dir, "server.pem"))
	t.Setenv("NATS_TLS_KEY", filepath.Join(dir, "server.key"))
	return ca
}

// writeCertificates makes an authority and a certificate for 127.0.0.1 that it has signed.
func writeCertificates(t *testing.T, dir string) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "nats"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	authorityKey, leafKey := newKey(t), newKey(t)
	write := func(name, kind string, der []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	write("ca.pem", "CERTIFICATE", der, err)
	der, err = x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	write("server.pem", "CERTIFICATE", der, err)
	der, err = x509.MarshalECPrivateKey(leafKey)
	write("server.key", "EC PRIVATE KEY", der, err)
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
