package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/verify"
)

// The policies that a device was given lie beside its state. No file of a role has such a
// name.
const (
	trustName   = "updater.policy"
	installName = "updater.install"
)

// SavePolicies keeps the texts of the trust policy and the install policy that the device is
// given, with which it is updated from then on; nil: the one that it has, if it has one. The
// state remembers that it was given them. The caller has the directory's lock.
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
	state, _, err := s.State()
	if err != nil {
		return err
	}
	given, err := s.markGiven(state)
	if err != nil || sameState(given, state) {
		return err
	}
	return s.SaveState(given)
}

// markGiven returns the state of a device that remembers which policies it has been given:
// those that are there.
func (s Store) markGiven(state verify.State) (verify.State, error) {
	trust, install, err := s.paths()
	state.GivenTrust = state.GivenTrust || trust != ""
	state.GivenInstall = state.GivenInstall || install != ""
	return state, err
}

// Policies returns the paths of the trust policy and the install policy that the device was
// given; empty: it was not. One that is gone is an error, a *verify.Refusal, if it is wanted.
func (s Store) Policies(wantTrust, wantInstall bool) (trust, install string, err error) {
	if trust, install, err = s.paths(); err != nil || (trust != "" || !wantTrust) && (install != "" || !wantInstall) {
		return trust, install, err
	}
	state, _, err := s.State()
	if err != nil {
		return trust, install, nil // a caller that needs the state says what is wrong with it
	}
	for _, p := range []struct {
		gone             bool
		name, what, flag string
	}{
		{wantTrust && trust == "" && state.GivenTrust, trustName, "trust policy", "--policy"},
		{wantInstall && install == "" && state.GivenInstall, installName, "install policy", "--install-policy"},
	} {
		if p.gone {
			return "", "", &verify.Refusal{Code: verify.CodeDevice, Detail: fmt.Sprintf("the %s that the device was given is gone: %s; updater init with the root that it was given and %s puts it back", p.what, s.path(p.name), p.flag)}
		}
	}
	return trust, install, nil
}

// paths returns the paths of the policies that are there.
func (s Store) paths() (trust, install string, err error) {
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
