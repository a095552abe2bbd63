package embedded

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/nats-io/nats-server/v2/server"
)

// Leaf makes the server a leaf node of a hub: what is stored here is the hub's to fetch, whenever the two can reach each other.
type Leaf struct {
	// URLs are the addresses at which the servers of the hub take leaf nodes. They may hold a user and a password.
	URLs []string
	// CredsFile holds the credentials that the hub asks for, if any.
	CredsFile string
	// CAFile is the PEM file of the authority that has signed the hub's certificate; empty means the system's.
	CAFile string
	// Domain is this server's JetStream domain. Each server of the hub and each leaf node has another.
	Domain string
	// Prefixes are the first tokens of the subjects that stay on their side. Were an event published here also seen by the hub,
	// a stream of the hub would store it a second time, and its acknowledgement could be taken for that of the stream here.
	Prefixes []string
}

// apply makes options those of a leaf node.
func (l *Leaf) apply(options *server.Options) error {
	if l.Domain == "" {
		return errors.New("leaf: no domain")
	}
	remote := &server.RemoteLeafOpts{Credentials: l.CredsFile}
	for i, text := range l.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" { // it may hold a password: do not repeat it
			return fmt.Errorf("leaf url: number %d is not a URL such as nats://hub:7422", i+1)
		}
		remote.URLs = append(remote.URLs, u)
		remote.TLS = remote.TLS || u.Scheme == "tls"
	}
	if len(remote.URLs) == 0 {
		return errors.New("leaf url: none given")
	}
	if l.CredsFile != "" {
		if _, err := os.Stat(l.CredsFile); err != nil {
			return fmt.Errorf("leaf creds: %w", err)
		}
	}
	if l.CAFile != "" {
		pem, err := os.ReadFile(l.CAFile)
		if err != nil {
			return fmt.Errorf("leaf ca: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("leaf ca: no PEM certificate in it")
		}
		remote.TLS, remote.TLSConfig = true, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	for _, prefix := range l.Prefixes {
		remote.DenyExports = append(remote.DenyExports, prefix+".>")
		remote.DenyImports = append(remote.DenyImports, prefix+".>")
	}
	options.JetStreamDomain = l.Domain
	// A hub takes a second leaf node of one name for the first that has come back.
	options.ServerName = "mewsbridge-" + l.Domain
	options.LeafNode.Remotes = []*server.RemoteLeafOpts{remote}
	return nil
}
