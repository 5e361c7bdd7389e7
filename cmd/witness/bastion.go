package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/bastion"
)

// maxBastions bounds the flag --bastion.
const maxBastions = 16

// maxAbout bounds the file of --about, in bytes.
const maxAbout = 64 << 10

// bastionKeyPath returns the file of the key by which bastions know the witness. It is
// not a witness key, so a new one of these does not change the URL.
func bastionKeyPath(dir string) string { return filepath.Join(dir, "bastion.key") }

// bastionKey reads the key, and makes one where there is none.
func bastionKey(dir string) (ed25519.PrivateKey, error) {
	path := bastionKeyPath(dir)
	text, err := keyfile.Read(path)
	if errors.Is(err, os.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return key, keyfile.Create(path, base64.StdEncoding.EncodeToString(key.Seed()))
	}
	if err != nil {
		return nil, err
	}
	seed, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s does not hold the base64 of %d bytes", path, ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// backends returns what is needed behind each bastion, without a handler.
func (f serveFlags) backends() ([]*bastion.Backend, error) {
	if len(f.bastions) == 0 {
		return nil, nil
	}
	key, err := bastionKey(f.dir)
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool
	if f.bastionCA != "" {
		pem, err := os.ReadFile(f.bastionCA)
		if err != nil {
			return nil, fmt.Errorf("--bastion-ca: %w", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--bastion-ca: %s has no certificate in PEM", f.bastionCA)
		}
	}
	var all []*bastion.Backend
	for _, address := range f.bastions {
		if address, err = bastion.CheckAddress(address); err != nil {
			return nil, fmt.Errorf("--bastion: %w", err)
		}
		all = append(all, &bastion.Backend{Address: address, Key: key, Roots: roots})
	}
	return all, nil
}

func (f serveFlags) checkBastions() error {
	if len(f.bastions) > maxBastions {
		return fmt.Errorf("--bastion: %d bastions, more than %d", len(f.bastions), maxBastions)
	}
	if f.bastionCA != "" && len(f.bastions) == 0 {
		return errors.New("--bastion-ca needs --bastion")
	}
	seen := make(map[string]bool)
	for _, b := range f.bastions {
		address, err := bastion.CheckAddress(b)
		if err == nil && seen[address] {
			err = fmt.Errorf("%s stands there twice", address)
		}
		if err != nil {
			return fmt.Errorf("--bastion: %w", err)
		}
		seen[address] = true
	}
	return nil
}

// serveBastions serves behind every bastion until the closers are called.
func serveBastions(ctx context.Context, backends []*bastion.Backend, w *witness.Witness, registry prometheus.Registerer, logger *slog.Logger, closers *closers, stderr io.Writer) error {
	for _, b := range backends {
		b.Server = witness.NewServer(w.HandlerOfBastion(b.Address, bastion.Header))
		b.Server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
		b.Log = logger
		gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tuflog_witness_bastion_connected", Help: "1 while the bastion has accepted the connection.",
			ConstLabels: prometheus.Labels{"bastion": b.Address},
		}, func() float64 {
			if b.Connected() {
				return 1
			}
			return 0
		})
		if err := registry.Register(gauge); err != nil {
			return err
		}
		fmt.Fprintf(stderr, "bastion %s: key hash %s, submission prefix %s\n", b.Address, bastion.KeyHash(b.Key.Public().(ed25519.PublicKey)), b.URL())
		closers.background(ctx, b.Run)
	}
	return nil
}

// about is what the page says.
func (f serveFlags) about(backends []*bastion.Backend) (witness.About, error) {
	a := witness.About{Lists: f.lists, ListsEvery: f.listEvery, Contact: f.contact}
	for _, u := range f.urls {
		a.URLs = append(a.URLs, strings.TrimSuffix(fetch.Redacted(u), "/"))
	}
	if len(a.URLs) == 0 {
		for _, b := range backends {
			a.URLs = append(a.URLs, b.URL())
		}
	}
	if f.aboutFile == "" {
		return a, nil
	}
	file, err := os.Open(f.aboutFile)
	if err != nil {
		return a, fmt.Errorf("--about: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxAbout+1))
	if err == nil && len(text) > maxAbout {
		err = fmt.Errorf("%s has more than %d bytes", f.aboutFile, maxAbout)
	}
	if err != nil {
		return a, fmt.Errorf("--about: %w", err)
	}
	a.Text = string(text)
	return a, nil
}
