package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/tuf"
)

func expectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "expect",
		Short: "Say, signed, what will be released, so that monitors report everything else",
		Long: `Expectations are a signed note that says what will be released of a repository, and
until when. A person signs it with a key that the build system does not hold; an
auditor that monitors the log reports every release that it does not expect, whatever
the build system was tricked into.

Begin with expect key, which makes the key; then expect learn, which proposes what to
expect from what was released so far; then expect sign.`,
		Example: `  publisher expect key --name acme.example/expect --out expect.key
  publisher expect learn ./metadata > draft.txt
  publisher expect sign --key expect.key --base ./metadata --out expect.note draft.txt`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(expectKeyCommand(), expectLearnCommand(), expectSignCommand(), expectCheckCommand())
	return cmd
}

// signingKeys are the flags that choose keys to sign with.
type signingKeys struct {
	files               []string
	agent, sshKey, name string
}

func (k *signingKeys) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&k.agent, "ssh-agent", "", "`SOCKET` of an ssh-agent that has the Ed25519 key")
	f.StringVar(&k.sshKey, "ssh-key", "", "`FINGERPRINT` of the key in the agent, SHA256:…, if it has several")
	f.StringVar(&k.name, "name", "", "`NAME` of the key, such as acme.example/expect")
}

// inAgent returns the signer of the key in the ssh-agent.
func (k *signingKeys) inAgent() (*proofs.Signer, error) {
	if k.name == "" {
		return nil, errors.New("--ssh-agent needs --name: the name of the key in its public form")
	}
	// A token may want to be touched.
	held, err := sshagent.Agent{Socket: k.agent, Timeout: time.Minute}.Keys()
	if err != nil {
		return nil, err
	}
	found := ""
	for _, key := range held {
		if key.Fingerprint == k.sshKey || k.sshKey == "" && len(held) == 1 {
			return proofs.NewSigner(k.name, proofs.Ed25519, key)
		}
		found += fmt.Sprintf("\n  %s %s", key.Fingerprint, key.Comment)
	}
	if found == "" {
		return nil, fmt.Errorf("the ssh-agent at %s has no Ed25519 key; add one with ssh-add", k.agent)
	}
	return nil, fmt.Errorf("choose a key of the ssh-agent with --ssh-key; it has%s", found)
}

// signers opens all keys.
func (k *signingKeys) signers() (signers []*proofs.Signer, err error) {
	for _, path := range k.files {
		text, err := keyfile.Read(path)
		if err != nil {
			return nil, err
		}
		s, err := proofs.ParseSigner(text)
		if err != nil {
			return nil, fmt.Errorf("key file %s: %w", path, err)
		}
		signers = append(signers, s)
	}
	switch {
	case k.agent != "":
		s, err := k.inAgent()
		if err != nil {
			return nil, err
		}
		signers = append(signers, s)
	case k.sshKey != "":
		return nil, errors.New("--ssh-key needs --ssh-agent")
	case len(signers) == 0:
		return nil, errors.New("give a key to sign with: --key FILE, or --ssh-agent SOCKET (publisher expect key makes one)")
	}
	return signers, nil
}

// readNote reads a note of expectations and verifies it with keys.
func readNote(path string, keys []proofs.Key) (*expect.Expectations, error) {
	b, err := cli.ReadAtMost(path, expect.MaxSize)
	if err != nil {
		return nil, err
	}
	e, err := expect.Parse(b, keys...)
	if err != nil {
		return nil, cli.Failed(fmt.Errorf("%s: %w", path, err))
	}
	return e, nil
}

// readReleased reads what the files of a repository say, in the order in which they were
// released: of a history, as import takes it, or of metadata files and directories, as
// submit takes them.
func readReleased(paths []string) (history []expect.Released, err error) {
	if len(paths) == 0 {
		return nil, nil
	}
	if len(paths) == 1 {
		if _, err := os.Stat(paths[0] + "/index.csv"); err == nil {
			h, err := publish.ReadHistory(paths[0])
			if err != nil {
				return nil, err
			}
			for role, m := range h.Each() {
				history = append(history, expect.Released{Role: role, Metadata: m})
			}
			return history, nil
		}
	}
	files, err := publish.ReadFiles(paths)
	if err != nil {
		return nil, err
	}
	for role, m := range files.Each() {
		history = append(history, expect.Released{Role: role, Metadata: m})
	}
	return history, nil
}

// newestOf returns the newest metadata of each role.
func newestOf(history []expect.Released) map[string]*tuf.Metadata {
	newest := map[string]*tuf.Metadata{}
	for _, r := range history {
		if was := newest[r.Role]; was == nil || was.Version < r.Metadata.Version {
			newest[r.Role] = r.Metadata
		}
	}
	return newest
}
