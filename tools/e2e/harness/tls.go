// SPDX-License-Identifier: AGPL-3.0-or-later

package harness

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// sslRequest is the code with which a client of PostgreSQL asks for TLS.
const sslRequest = 80877103

// NewTLSFront puts TLS in front of a PostgreSQL, as the proxies of hosted servers do: it takes nothing else, and its
// certificate is for 127.0.0.1. (The PostgreSQL of the tests is built without TLS.) It returns the port and the file of the
// certificate's CA.
func NewTLSFront(t testing.TB, p *Postgres) (port int, ca string) {
	t.Helper()
	dir := t.TempDir()
	makeCertificates(t, dir)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go terminate(conn, config, p.port)
		}
	}()
	return ln.Addr().(*net.TCPAddr).Port, filepath.Join(dir, "ca.pem")
}

// terminate answers a client's first packet and passes on what comes inside TLS.
func terminate(conn net.Conn, config *tls.Config, port int) {
	defer func() { _ = conn.Close() }()
	var first [8]byte
	if _, err := io.ReadFull(conn, first[:]); err != nil {
		return
	}
	if binary.BigEndian.Uint32(first[4:]) != sslRequest {
		text := "SFATAL\x00C28000\x00Mno pg_hba.conf entry for this host, no encryption\x00\x00"
		_, _ = conn.Write(append(binary.BigEndian.AppendUint32([]byte{'E'}, uint32(len(text)+4)), text...))
		return
	}
	if _, err := conn.Write([]byte{'S'}); err != nil {
		return
	}
	inside := tls.Server(conn, config)
	if inside.Handshake() != nil { //nolint:noctx // the connection ends with the test
		return
	}
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // likewise
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() {
		_, _ = io.Copy(server, inside)
		_ = server.Close()
	}()
	_, _ = io.Copy(inside, server)
}

// makeCertificates writes ca.pem, and server.pem with server.key: a certificate of that CA for 127.0.0.1.
func makeCertificates(t testing.TB, dir string) {
	t.Helper()
	now := time.Now()
	template := func(n int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		}
	}
	root, leaf := template(1, "test CA"), template(2, "server")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf.IPAddresses, leaf.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	rootKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leafKey, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	rootDER, err1 := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	leafDER, err2 := x509.CreateCertificate(rand.Reader, leaf, root, &leafKey.PublicKey, rootKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(leafKey)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem":     {Type: "CERTIFICATE", Bytes: rootDER},
		"server.pem": {Type: "CERTIFICATE", Bytes: leafDER},
		"server.key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		var text bytes.Buffer
		if err := pem.Encode(&text, block); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
