package localserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The files of a server's certificates, in its folder.
const (
	fileCA         = "ca.pem"
	fileServerCert = "server-cert.pem"
	fileServerKey  = "server-key.pem"
	fileClientCert = "client-cert.pem"
	fileClientKey  = "client-key.pem"
)

// writeCertificates makes an authority and, signed by it, a certificate for this
// machine's loopback addresses and one for a client.
func writeCertificates(folder string) error {
	now := time.Now()
	template := x509.Certificate{
		NotBefore: now.Add(-time.Hour),
		NotAfter:  now.AddDate(1, 0, 0),
	}

	authority := template
	authority.Subject = pkix.Name{CommonName: "Throw-away test authority"}
	authority.IsCA = true
	authority.BasicConstraintsValid = true
	authority.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	issuer := &authority
	issuerKey, err := writeCertificate(folder, fileCA, "", issuer, issuer, nil)
	if err != nil {
		return err
	}

	server := template
	server.Subject = pkix.Name{CommonName: "localhost"}
	server.DNSNames = []string{"localhost"}
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	server.KeyUsage = x509.KeyUsageDigitalSignature
	server.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	if _, err := writeCertificate(folder, fileServerCert, fileServerKey, &server, issuer, issuerKey); err != nil {
		return err
	}

	client := template
	client.Subject = pkix.Name{CommonName: "session"}
	client.KeyUsage = x509.KeyUsageDigitalSignature
	client.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	_, err = writeCertificate(folder, fileClientCert, fileClientKey, &client, issuer, issuerKey)
	return err
}

// writeCertificate makes a key and a certificate and writes both as PEM. Without an
// issuer's key the certificate signs itself; without a file name the key is not written.
func writeCertificate(folder, certFile, keyFile string, template, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", certFile, err)
	}
	if issuerKey == nil {
		issuerKey = key
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, fmt.Errorf("make a serial number for %s: %w", certFile, err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", certFile, err)
	}
	if err := writePEM(filepath.Join(folder, certFile), "CERTIFICATE", certificate); err != nil {
		return nil, err
	}
	if keyFile == "" {
		return key, nil
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", keyFile, err)
	}
	return key, writePEM(filepath.Join(folder, keyFile), "PRIVATE KEY", encoded)
}

func writePEM(path, kind string, content []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600)
}
