package guard

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/mysqlsession/mysqlsession/internal/wire"
)

// The sizes, in bits, of the keys that are used: less is no protection, and more than
// any server has would only cost time.
const (
	minKeySize = 2048
	maxKeySize = 8192
)

const keyBlock = "PUBLIC KEY"

// ParseKey reads an RSA public key in PEM, of at most 4 KiB.
func ParseKey(text []byte) (*rsa.PublicKey, error) {
	if len(text) > maxPacket {
		return nil, errors.New("longer than 4096 bytes")
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return nil, errors.New("no public key in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("malformed public key")
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("no RSA key")
	}
	if bits := key.N.BitLen(); bits < minKeySize || bits > maxKeySize {
		return nil, errors.New("RSA key not of 2048 to 8192 bits")
	}
	return key, nil
}

// takeKey is the key that the server was asked for.
func (c *conn) takeKey(payload []byte) error {
	text, err := wire.ParseMoreData(payload)
	if err != nil {
		return Violation("malformed public key")
	}
	if c.key, err = ParseKey(text); err != nil {
		return Violation("server's public key: " + err.Error())
	}
	c.state = libraryEncrypts
	return c.deliverKey()
}

// deliverKey gives the key to the library as if the server had sent it.
func (c *conn) deliverKey() error {
	der, err := x509.MarshalPKIXPublicKey(c.key)
	if err != nil {
		return Violation("unusable public key")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der})
	c.deliver(wire.AppendMoreData(nil, text))
	return nil
}
