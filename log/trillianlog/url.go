package trillianlog

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// address is a parsed storage URL.
type address struct {
	host   string // without the brackets of an IPv6 address
	port   uint16
	tree   int64
	secure bool
	ca     string // file; empty: the system's certificates
}

// ParseURL reads trillian://HOST:PORT/TREE, a log server that is spoken to in
// plain text, or trillians://HOST:PORT/TREE?ca=FILE, one with TLS. ca names the
// PEM file of the authority that has signed the server's certificate; without it
// the system's authorities count. There is one spelling for each. The result
// lacks Tiles.
func ParseURL(s string) (Config, error) {
	a, err := parseAddress(s)
	if err != nil {
		return Config{}, fmt.Errorf("storage URL %q: %w", s, err)
	}
	cfg := Config{Target: net.JoinHostPort(a.host, strconv.Itoa(int(a.port))), TreeID: a.tree}
	if !a.secure {
		return cfg, nil
	}
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.host}
	if a.ca != "" {
		pem, err := os.ReadFile(a.ca)
		if err != nil {
			return Config{}, fmt.Errorf("storage URL %q: %w", s, err)
		}
		cfg.TLS.RootCAs = x509.NewCertPool()
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return Config{}, fmt.Errorf("storage URL %q: %s holds no certificate", s, a.ca)
		}
	}
	return cfg, nil
}

func parseAddress(s string) (address, error) {
	var a address
	u, err := url.Parse(s)
	if err != nil {
		return a, errors.Unwrap(err)
	}
	switch u.Scheme {
	case "trillian":
	case "trillians":
		a.secure = true
	default:
		return a, errors.New("want trillian://HOST:PORT/TREE or trillians://HOST:PORT/TREE")
	}
	a.host = u.Hostname()
	if a.host == "" || strings.ContainsAny(a.host, "/%,") {
		return a, fmt.Errorf("bad host %q", a.host)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return a, fmt.Errorf("bad port %q", u.Port())
	}
	a.port = uint16(port)
	a.tree, err = strconv.ParseInt(strings.TrimPrefix(u.Path, "/"), 10, 64)
	if err != nil || a.tree <= 0 {
		return a, fmt.Errorf("bad tree %q: want Trillian's number of the tree", u.Path)
	}
	if u.RawQuery != "" {
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			return a, err
		}
		a.ca = query.Get("ca")
		if !a.secure || len(query) != 1 || len(query["ca"]) != 1 || a.ca == "" {
			return a, fmt.Errorf("bad query %q: only trillians:// takes one, ca=FILE", u.RawQuery)
		}
	}
	if s != a.String() && s != a.unescaped() {
		return a, fmt.Errorf("want %s", a)
	}
	return a, nil
}

// String is the URL with the file's name escaped.
func (a address) String() string { return a.withCA(url.QueryEscape(a.ca)) }

// unescaped is the URL with slashes in the file's name, as people write it.
func (a address) unescaped() string {
	return a.withCA(strings.ReplaceAll(url.QueryEscape(a.ca), "%2F", "/"))
}

func (a address) withCA(ca string) string {
	s := "trillian"
	if a.secure {
		s += "s"
	}
	s += "://" + net.JoinHostPort(a.host, strconv.Itoa(int(a.port))) + "/" + strconv.FormatInt(a.tree, 10)
	if ca != "" {
		s += "?ca=" + ca
	}
	return s
}
