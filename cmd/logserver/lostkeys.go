package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// lonelyKey is a public key in DIR/keys without the private key beside it. Where the log
// signs, the private one was lost, or removed by hand; a front end that never leads has
// no others.
type lonelyKey struct {
	name string // of its file, without .vkey
	key  proofs.Key
	err  error // why the file has no public key
}

// lonelyKeys returns the public keys in DIR/keys without a private key that are none of
// own, the keys that the log is known to have. Its own key has left its public one there
// if it was a further key once, and the keys of another log are none of this one.
func lonelyKeys(at place, own []proofs.Key) (lonely []lonelyKey, err error) {
	entries, err := os.ReadDir(at.moreKeys())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".vkey")
		if !ok || names[name+".key"] {
			continue
		}
		k := lonelyKey{name: name}
		b, err := os.ReadFile(filepath.Join(at.moreKeys(), e.Name()))
		if err == nil {
			k.key, err = proofs.ParseKey(strings.TrimSpace(string(b)))
		}
		k.err = err
		if err != nil || k.key.Name() == own[0].Name() && !slices.Contains(own, k.key) {
			lonely = append(lonely, k)
		}
	}
	return lonely, nil
}

// what says what is wrong where the log signs.
func (k *lonelyKey) what(at place) string {
	key := k.key.String()
	if k.err != nil {
		key = fmt.Sprintf("which cannot be told (%v)", k.err)
	}
	return fmt.Sprintf("%s is missing, the private key of %s: what the log signs from its last start on, or from its next one on, lacks this signature, and a policy that names this key alone takes nothing new",
		filepath.Join(at.moreKeys(), k.name+".key"), key)
}

// remedy says what to do about it.
func (k *lonelyKey) remedy() string {
	return fmt.Sprintf("Put the file back from a backup and start the log again. If the key is to sign no more, run logserver key retire %s", printable.ShellWord(k.name))
}

// signing returns the public keys of those that sign.
func signing(cfg publisher.Config) []proofs.Key {
	keys := []proofs.Key{cfg.Signer.Key()}
	for _, more := range cfg.More {
		keys = append(keys, more.Key())
	}
	return keys
}

// warnOfLost says which further keys the log does not sign with any more, and returns how
// many there are. It goes on without them: those who do not name them need not wait.
func warnOfLost(at place, cfg publisher.Config, logger *slog.Logger) (int, error) {
	lost, err := lonelyKeys(at, signing(cfg))
	for _, k := range lost {
		logger.Warn("a key of the log is lost: "+k.what(at), "do", k.remedy())
	}
	return len(lost), err
}

// listed returns those of the public keys in DIR/keys without a private key that a policy
// lists, for a front end that never signs. The policy has to say it: nothing else tells
// such a key from one that was removed by hand and left its public key.
func listed(at place, own []proofs.Key, policy *proofs.Policy) (keys []proofs.Key, err error) {
	lonely, err := lonelyKeys(at, own)
	for _, k := range lonely {
		if k.err == nil && !slices.Contains(keys, k.key) && slices.ContainsFunc(policy.Logs, func(l proofs.PolicyLog) bool { return l.Key == k.key }) {
			keys = append(keys, k.key)
		}
	}
	return keys, err
}

// findLost finds fault with lost keys where the log signs. A front end of a log on servers
// without any private key only follows.
func (st *status) findLost(at place, on shared, own []proofs.Key) error {
	if on.on() {
		private, err := at.moreKeyFiles()
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if _, err := os.Lstat(at.key()); errors.Is(err, fs.ErrNotExist) && len(private) == 0 {
			return nil
		}
	}
	lost, err := lonelyKeys(at, own)
	for _, k := range lost {
		st.Fault(k.what(at), k.remedy())
	}
	return err
}

func newKeyRetire() *cobra.Command {
	var at place
	cmd := &cobra.Command{
		Use:   "retire --dir DIR NAME",
		Short: "Have a further key sign no more from the next start on",
		Long: `Retire moves DIR/keys/NAME.key to DIR/keys/NAME.key.retired, and its public key in the
same way, and prints the public key. From its next start on the log does not sign with
it. Policies that name this key alone take nothing new from then on: hand out others
before. Do the same in the directory of each front end.

It is also for a key whose private part is lost for good, so that the log no longer
warns of it. The log's own key cannot be retired, only replaced: see logserver key add.
The retired private key still counts with those whose policy lists it: remove it once
nobody needs it any more.`,
		Example: `  logserver key retire --dir ./log old`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := retire(at, args[0])
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), key)
			}
			return err
		},
	}
	at.flags(cmd)
	return cmd
}

// retired is what the names of the files of keys end with that sign no more.
const retired = ".retired"

// retire moves a further key out of the way, and returns the public key or, if that
// cannot be read, the name.
func retire(at place, name string) (string, error) {
	if err := checkKeyName(name); err != nil {
		return "", err
	}
	own, err := readKeys(at)
	if err != nil {
		return "", err
	}
	said := name
	var there []string
	for _, ext := range []string{".key", ".vkey"} { // the public one last: its absence ends the warning
		path := filepath.Join(at.moreKeys(), name+ext)
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return "", err
		}
		there = append(there, path)
		if _, err := os.Lstat(path + retired); !errors.Is(err, fs.ErrNotExist) && ext == ".key" {
			return "", errors.Join(fmt.Errorf("%s is there already: keep or remove it first", path+retired), err)
		}
		if b, err := os.ReadFile(path); err == nil && ext == ".vkey" {
			said = strings.TrimSpace(string(b))
		}
	}
	if len(there) == 0 {
		return "", fmt.Errorf("no key %q in %s", name, at.moreKeys())
	}
	for _, path := range there {
		if err := os.Rename(path, path+retired); err != nil {
			return "", err
		}
	}
	// A key that has moved from one file to another has left its public key at both.
	lonely, err := lonelyKeys(at, own[:1])
	for _, k := range lonely {
		if path := filepath.Join(at.moreKeys(), k.name+".vkey"); err == nil && k.err == nil && k.key.String() == said {
			err = os.Rename(path, path+retired)
		}
	}
	return said, errors.Join(err, durable.SyncDir(at.moreKeys()))
}
