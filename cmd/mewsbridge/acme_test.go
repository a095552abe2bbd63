package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/acme"
)

// acmeDirectory is the smallest authority of RFC 8555: it issues one certificate for an order after a TLS-ALPN-01 challenge
// (RFC 8737) at the address it was told. It believes the signatures of its requests.
type acmeDirectory struct {
	t      *testing.T
	ca     *authority
	server *httptest.Server

	mu      sync.Mutex
	address string // where the host is
	proven  bool
	nonces  int
	chain   []byte // PEM
	issued  int
}

func newACMEDirectory(t *testing.T, ca *authority) *acmeDirectory {
	t.Helper()
	d := &acmeDirectory{t: t, ca: ca}
	mux := http.NewServeMux()
	mux.HandleFunc("/directory", func(w http.ResponseWriter, _ *http.Request) {
		d.answer(w, 200, map[string]any{"newNonce": d.at("/nonce"), "newAccount": d.at("/account"), "newOrder": d.at("/order"), "revokeCert": d.at("/revoke"), "keyChange": d.at("/key")})
	})
	mux.HandleFunc("/nonce", func(w http.ResponseWriter, _ *http.Request) { d.answer(w, 200, nil) })
	mux.HandleFunc("/account", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", d.at("/account/1"))
		d.answer(w, 201, map[string]any{"status": "valid"})
	})
	mux.HandleFunc("/order", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", d.at("/order/1"))
		d.answer(w, 201, d.order())
	})
	mux.HandleFunc("/order/1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", d.at("/order/1"))
		d.answer(w, 200, d.order())
	})
	mux.HandleFunc("/authorization", func(w http.ResponseWriter, _ *http.Request) {
		status := "pending"
		if d.isProven() {
			status = "valid"
		}
		d.answer(w, 200, map[string]any{"status": status, "identifier": map[string]any{"type": "dns", "value": testHost}, "challenges": []any{d.challengeOf(status)}})
	})
	mux.HandleFunc("/challenge", func(w http.ResponseWriter, _ *http.Request) {
		if err := d.prove(); err != nil {
			t.Errorf("the challenge: %v", err)
		}
		d.answer(w, 200, d.challengeOf("processing"))
	})
	mux.HandleFunc("/finalize", func(w http.ResponseWriter, r *http.Request) {
		if err := d.issue(r); err != nil {
			t.Errorf("issue: %v", err)
		}
		w.Header().Set("Location", d.at("/order/1"))
		d.answer(w, 200, d.order())
	})
	mux.HandleFunc("/certificate", func(w http.ResponseWriter, _ *http.Request) {
		d.nonce(w)
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		d.mu.Lock()
		defer d.mu.Unlock()
		_, _ = w.Write(d.chain)
	})
	d.server = httptest.NewServer(mux)
	t.Cleanup(d.close)
	return d
}

func (d *acmeDirectory) url() string           { return d.at("/directory") }
func (d *acmeDirectory) at(path string) string { return d.server.URL + path }
func (d *acmeDirectory) close()                { d.server.Close() }

// challenge tells where the host is.
func (d *acmeDirectory) challenge(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.address = address
}

func (d *acmeDirectory) isProven() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proven
}

func (d *acmeDirectory) issuedCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.issued
}

func (d *acmeDirectory) nonce(w http.ResponseWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nonces++
	w.Header().Set("Replay-Nonce", "nonce"+strconv.Itoa(d.nonces))
}

func (d *acmeDirectory) answer(w http.ResponseWriter, status int, body any) {
	d.nonce(w)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		d.t.Errorf("answer: %v", err)
	}
}

func (d *acmeDirectory) order() map[string]any {
	d.mu.Lock()
	defer d.mu.Unlock()
	order := map[string]any{"status": "pending", "identifiers": []any{map[string]any{"type": "dns", "value": testHost}},
		"authorizations": []any{d.at("/authorization")}, "finalize": d.at("/finalize")}
	if d.proven {
		order["status"] = "ready"
	}
	if d.chain != nil {
		order["status"], order["certificate"] = "valid", d.at("/certificate")
	}
	return order
}

func (d *acmeDirectory) challengeOf(status string) map[string]any {
	return map[string]any{"type": "tls-alpn-01", "url": d.at("/challenge"), "token": "a-challenge", "status": status}
}

// prove connects to the host as RFC 8737 says and looks for the certificate of the challenge.
func (d *acmeDirectory) prove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	conn, err := tls.Dial("tcp", d.address, &tls.Config{ServerName: testHost, NextProtos: []string{acme.ALPNProto}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer conn.Close()
	state := conn.ConnectionState()
	if state.NegotiatedProtocol != acme.ALPNProto {
		return fmt.Errorf("the protocol is %q", state.NegotiatedProtocol)
	}
	for _, extension := range state.PeerCertificates[0].Extensions {
		if extension.Id.String() == "1.3.6.1.5.5.7.1.31" { // id-pe-acmeIdentifier
			d.proven = true
			return nil
		}
	}
	return errors.New("the certificate is not that of a challenge")
}

// issue signs what the request asks for.
func (d *acmeDirectory) issue(r *http.Request) error {
	var envelope struct{ Payload string }
	if err := json.NewDecoder(r.Body).Decode(&envelope); err != nil {
		return err
	}
	payload, err := base64.RawURLEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return err
	}
	var wanted struct{ CSR string }
	if err := json.Unmarshal(payload, &wanted); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(wanted.CSR)
	if err != nil {
		return err
	}
	request, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	cert, err := d.ca.sign(100, time.Now().Add(47*time.Hour), request.PublicKey)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.issued++
	d.chain = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	return nil
}
