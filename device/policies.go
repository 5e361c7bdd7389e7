package device

import (
	"errors"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/durable"
)

// The policies that a device was given lie beside its state. No file of a role has such a
// name.
const (
	trustName   = "updater.policy"
	installName = "updater.install"
)

// SavePolicies keeps the texts of the trust policy and the install policy that the device is
// given, with which it is updated from then on; nil: the one that it has, if it has one. The
// caller has the directory's lock.
func (s Store) SavePolicies(trust, install []byte) error {
	for _, p := range []struct {
		name string
		text []byte
	}{{trustName, trust}, {installName, install}} {
		if p.text == nil {
			continue
		}
		if err := durable.WriteFile(s.path(p.name), p.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Policies returns the paths of the trust policy and the install policy that the device was
// given; empty: it was not.
func (s Store) Policies() (trust, install string, err error) {
	there := func(name string) (string, error) {
		_, err := os.Lstat(s.path(name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", nil
		case errors.Is(err, fs.ErrPermission):
			return "", s.forbidden(err)
		case err != nil:
			return "", err
		}
		return s.path(name), nil
	}
	if trust, err = there(trustName); err != nil {
		return "", "", err
	}
	install, err = there(installName)
	return trust, install, err
}
