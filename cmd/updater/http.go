package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/fetch"
)

// maxCA is the most bytes of a file of authorities: the bundles of systems have less than
// half a megabyte.
const maxCA = 4 << 20

// client sends the requests of a run: by --proxy and --ca.
func (o *options) client() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	switch o.proxy {
	case "": // as the environment says
	case "none":
		transport.Proxy = nil
	default:
		proxy, err := url.Parse(o.proxy)
		if err != nil || proxy.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, proxy.Scheme) {
			return nil, fmt.Errorf("--proxy %q: want none, or a URL such as http://proxy.example:3128 (http, https, socks5 or socks5h)", fetch.Redacted(o.proxy))
		}
		transport.Proxy = http.ProxyURL(proxy)
	}
	if o.ca != "" {
		pool, err := readCA(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{Transport: transport}, nil
}

// readCA reads a file of certificates in PEM. All of them must be readable: an authority
// that is left out without a word shows much later.
func readCA(path string) (*x509.CertPool, error) {
	rest, err := cli.ReadAtMost(path, maxCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for n := 0; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if n == 0 {
				return nil, fmt.Errorf("%s has no certificate in PEM", path)
			}
			return pool, nil
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%s: %q where only certificates should be", path, block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d: %w", path, n+1, err)
		}
		pool.AddCert(c)
	}
}

// untrusted reports whether a server's certificate was not accepted.
func untrusted(err error) bool {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	return errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &host)
}
