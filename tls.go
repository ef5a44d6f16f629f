package mysqlsession

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
)

// verifies reports whether the mode has the server's certificate verified.
func (mode SSLMode) verifies() bool {
	return mode == SSLModeVerifyCA || mode == SSLModeVerifyIdentity
}

// sslMode resolves SSL, SSLVerify and SSLMode to one mode, and refuses what contradicts
// it among them and the other fields of TLS.
func (cfg *Config) sslMode() (SSLMode, error) {
	mode := cfg.SSLMode
	switch mode {
	case "":
		switch {
		case cfg.SSL && cfg.SSLVerify:
			mode = SSLModeVerifyIdentity
		case cfg.SSL:
			mode = SSLModeRequired
		default:
			mode = SSLModeDisabled
		}
	case SSLModeDisabled, SSLModePreferred, SSLModeRequired, SSLModeVerifyCA, SSLModeVerifyIdentity:
	default:
		return "", detail(ErrInvalidConfig, "SSLMode %q: must be one of %s, %s, %s, %s, %s", string(mode),
			SSLModeDisabled, SSLModePreferred, SSLModeRequired, SSLModeVerifyCA, SSLModeVerifyIdentity)
	}
	insecure := cfg.TLSConfig != nil && cfg.TLSConfig.InsecureSkipVerify &&
		cfg.TLSConfig.VerifyConnection == nil && cfg.TLSConfig.VerifyPeerCertificate == nil
	switch {
	case cfg.SSLVerify && !cfg.SSL:
		return "", detail(ErrInvalidConfig, "SSLVerify true: needs SSL true")
	case cfg.SSL && (mode == SSLModeDisabled || mode == SSLModePreferred):
		return "", detail(ErrInvalidConfig, "SSLMode %s: contradicts SSL true", mode)
	case cfg.SSLVerify && mode != SSLModeVerifyIdentity:
		return "", detail(ErrInvalidConfig, "SSLMode %s: contradicts SSLVerify true", mode)
	case cfg.TLSConfig != nil && mode == SSLModeDisabled:
		return "", detail(ErrInvalidConfig, "TLSConfig set: needs SSL true, or an SSLMode other than %s", mode)
	case cfg.TLSConfig != nil && (cfg.SSLCA != "" || cfg.SSLCert != "" || cfg.SSLKey != ""):
		return "", detail(ErrInvalidConfig, "TLSConfig set: must not come with SSLCA, SSLCert or SSLKey")
	case insecure && mode.verifies():
		return "", detail(ErrInvalidConfig, "TLSConfig.InsecureSkipVerify true: contradicts SSLMode %s", mode)
	case cfg.SSLCA != "" && !mode.verifies():
		return "", detail(ErrInvalidConfig, "SSLCA %q: needs SSLMode %s or %s, not %s",
			cfg.SSLCA, SSLModeVerifyCA, SSLModeVerifyIdentity, mode)
	case (cfg.SSLCert == "") != (cfg.SSLKey == ""):
		return "", detail(ErrInvalidConfig, "SSLCert %q, SSLKey %q: must be set together", cfg.SSLCert, cfg.SSLKey)
	case cfg.SSLCert != "" && mode == SSLModeDisabled:
		return "", detail(ErrInvalidConfig, "SSLCert %q: needs SSL true, or an SSLMode other than %s", cfg.SSLCert, mode)
	}
	return mode, nil
}

// tlsConfig makes the settings for TLS with the host. They are nil when there is to be
// none. Files are read at each call, so that certificates can be renewed.
func (cfg *Config) tlsConfig(host string) (*tls.Config, error) {
	mode, err := cfg.sslMode()
	if err != nil || mode == SSLModeDisabled {
		return nil, err
	}
	if cfg.TLSConfig != nil {
		settings := cfg.TLSConfig.Clone()
		if settings.ServerName == "" {
			settings.ServerName = host
		}
		return settings, nil
	}
	settings := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if cfg.SSLCA != "" {
		if settings.RootCAs, err = readCertificates(cfg.SSLCA); err != nil {
			return nil, err
		}
	}
	if cfg.SSLCert != "" {
		certificate, err := tls.LoadX509KeyPair(cfg.SSLCert, cfg.SSLKey)
		if err != nil {
			return nil, detail(ErrInvalidConfig, "SSLCert %q, SSLKey %q: %v", cfg.SSLCert, cfg.SSLKey, err)
		}
		settings.Certificates = []tls.Certificate{certificate}
	}
	if mode != SSLModeVerifyIdentity {
		// crypto/tls verifies the chain and the host name or neither. The certificates that
		// MySQL makes for itself are for no host name at all.
		settings.InsecureSkipVerify = true
	}
	if mode == SSLModeVerifyCA {
		settings.VerifyConnection = func(state tls.ConnectionState) error {
			return verifyChain(state.PeerCertificates, settings.RootCAs)
		}
	}
	return settings, nil
}

// verifyChain is what crypto/tls does without InsecureSkipVerify, but for the host name.
func verifyChain(certificates []*x509.Certificate, roots *x509.CertPool) error {
	if len(certificates) == 0 {
		return errors.New("the server sent no certificate")
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range certificates[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := certificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: certificates, Err: err}
	}
	return nil
}

// readCertificates reads the file that SSLCA names.
func readCertificates(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, detail(ErrInvalidConfig, "SSLCA: %v", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, detail(ErrInvalidConfig, "SSLCA %q: no certificate in PEM", path)
	}
	return pool, nil
}
