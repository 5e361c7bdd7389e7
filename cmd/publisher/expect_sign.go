package main

import (
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/expect"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// signFlags are the flags of expect sign.
type signFlags struct {
	keys                                  signingKeys
	repository, previous, out, from, last string
	base, releases, oldKeys               []string
	lasts                                 time.Duration
	accept                                bool
}

func expectSignCommand() *cobra.Command {
	var o signFlags
	cmd := &cobra.Command{
		Use:   "sign --key FILE --base DIR --out NOTE [DRAFT | --release LINES...]",
		Short: "Sign expectations",
		Long: `Sign a draft as a note of expectations, and write it to NOTE. A draft is a text file
with the lines of a note (docs/formats.md), such as expect learn prints:

  release targets 15
  file firmware.bin 123456 sha256:…
  release targets any

or they are given by --release, with semicolons for line ends. A file line of --release may
also be file PATH=FILE: size and hashes are then those of FILE. A target may have no hash
that its line does not name, and no other custom data than before, unless the line ends
in custom:SHA-256 (of the canonical JSON; expect check says it) or custom:any.

--base is a directory with the metadata that is released now: what is signed is compared
with it, and releases after it are judged. Its versions and payloads become part of the
note, and its root 1 tells the repository, if neither the draft nor a note before does.

The note's version is 1, or one above that of the previous note, which is NOTE if that
exists, and then the draft may be left out: what was expected is expected for longer.
Monitors refuse a version that they have seen with another content. What --base has that
the previous note did not expect is refused, unless you give --accept: look at it first.

Exit codes: 0 the note is written; 1 --base has what was not expected, or the previous
note is not signed by a key; 2 wrong usage, or it could not be written.`,
		Example: `  publisher expect sign --key expect.key --base ./metadata --out expect.note draft.txt
  publisher expect sign --key expect.key --base ./metadata --out expect.note --for 2160h --release 'targets 15; file firmware.bin=./firmware.bin' --release 'targets any'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signers, err := o.keys.signers()
			if err != nil {
				return err
			}
			now := time.Now().UTC().Truncate(time.Second)
			e, err := o.build(args, signers, now)
			if err != nil {
				return err
			}
			note, err := expect.Sign(e, now.Unix(), signers...)
			if err != nil {
				return err
			}
			if err := durable.WriteFile(o.out, note, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: expectations %d of repository %s, in force from %s until %s\n", o.out, e.Version, e.Repository, e.From.Format(time.RFC3339), e.Until.Format(time.RFC3339))
			if e.From.After(now) {
				fmt.Fprintf(cmd.ErrOrStderr(), "warning: they are in force only from %s on (in %s); until then those before count, and without any before no release is judged\n", e.From.Format(time.RFC3339), e.From.Sub(now))
			}
			return nil
		},
	}
	o.keys.register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.keys.files, "key", nil, "`FILE` with a private key (repeatable)")
	f.StringVar(&o.out, "out", "", "`FILE` for the note")
	f.StringVar(&o.previous, "previous", "", "the `NOTE` before this one (default: the one at --out, if it is there)")
	f.StringArrayVar(&o.oldKeys, "previous-key", nil, "`VKEY` that has signed the previous note, if it is another key (repeatable)")
	f.StringVar(&o.repository, "repository", "", "the repository (64 hex digits) (default: that of the draft, of the previous note, or of --base)")
	f.StringArrayVar(&o.base, "base", nil, "`DIR` with the metadata that is released now (repeatable)")
	f.BoolVar(&o.accept, "accept", false, "take --base as it is, also where the previous note did not expect it")
	f.StringArrayVar(&o.releases, "release", nil, "`LINES` of one release, with semicolons for line ends, instead of a draft (repeatable)")
	f.StringVar(&o.from, "from", "", "when they come into force, such as 2026-11-30T12:00:00Z (default: now)")
	f.StringVar(&o.last, "until", "", "when they end (default: --for after --from)")
	f.DurationVar(&o.lasts, "for", 90*24*time.Hour, "how long they are in force")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // a flag that was not declared above
	}
	return cmd
}

// build makes the expectations to sign.
func (o *signFlags) build(args []string, signers []*proofs.Signer, now time.Time) (*expect.Expectations, error) {
	before, err := o.before(signers)
	if err != nil {
		return nil, err
	}
	e, err := o.draft(args, before)
	if err != nil {
		return nil, err
	}
	e.Version = 1
	if o.repository != "" {
		id, err := repositoryID(o.repository)
		if err != nil {
			return nil, err
		}
		if !e.Repository.IsZero() && e.Repository != id {
			return nil, fmt.Errorf("--repository %s: the draft is about %s", id, e.Repository)
		}
		e.Repository = id
	}
	if before != nil {
		if !e.Repository.IsZero() && e.Repository != before.Repository {
			return nil, fmt.Errorf("the repository is %s, and the previous note is about %s", e.Repository, before.Repository)
		}
		e.Version, e.Repository = before.Version+1, before.Repository
	}
	if len(o.base) > 0 {
		history, err := readReleased(o.base)
		if err != nil {
			return nil, err
		}
		if before != nil && !o.accept {
			if err := o.surprises(before, history); err != nil {
				return nil, err
			}
		}
		e.Bases = expect.BasesOf(newestOf(history))
		if e.Repository.IsZero() {
			e.Repository = firstRoot(history)
		}
	}
	if e.Repository.IsZero() {
		return nil, errors.New("--base has no root 1 that tells the repository: give --repository ID (publisher submit prints it)")
	}
	if e.From, err = timeOr(o.from, now); err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	if e.Until, err = timeOr(o.last, e.From.Add(o.lasts)); err != nil {
		return nil, fmt.Errorf("--until: %w", err)
	}
	if !e.Until.After(now) {
		return nil, fmt.Errorf("they would end at %s, which is past", e.Until.Format(time.RFC3339))
	}
	return e, nil
}

// surprises refuses a base in which there is what the previous note did not expect: whoever
// has tricked the build system would have it signed.
func (o *signFlags) surprises(before *expect.Expectations, history []expect.Released) error {
	text := ""
	for _, r := range checkReleases(before, map[string]*tuf.Metadata{}, history) {
		if !r.Expected {
			text += fmt.Sprintf("\n  %s %d: %s", tuf.Word(r.Role), r.Version, r.Why)
		}
	}
	if text == "" {
		return nil
	}
	return cli.Failed(fmt.Errorf("--base has what expectations %d did not expect:%s\nNothing was signed. If all of that is as you want it, give --accept; if it was only not there to be compared, add the older metadata with --base", before.Version, text))
}

// firstRoot returns the payload of the one root 1; zero: there is none.
func firstRoot(history []expect.Released) (id tuf.Digest) {
	for _, r := range history {
		if r.Role == tuf.RoleRoot && r.Metadata.Version == 1 {
			if !id.IsZero() && id != r.Metadata.PayloadDigest {
				return tuf.Digest{}
			}
			id = r.Metadata.PayloadDigest
		}
	}
	return id
}

func timeOr(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise.UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%q: want a time such as 2026-11-30T12:00:00Z", text)
	}
	return t.UTC().Truncate(time.Second), nil
}

// before reads the previous note; nil: there is none.
func (o *signFlags) before(signers []*proofs.Signer) (*expect.Expectations, error) {
	keys, err := cli.Keys(o.oldKeys, "")
	if err != nil {
		return nil, fmt.Errorf("--previous-key: %w", err)
	}
	for _, s := range signers {
		keys = append(keys, s.Key())
	}
	paths := []string{}
	if o.previous != "" {
		paths = append(paths, o.previous)
	}
	if _, err := os.Lstat(o.out); err == nil {
		paths = append(paths, o.out)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var before *expect.Expectations
	for _, path := range paths {
		e, err := readNote(path, keys)
		if errors.Is(err, expect.ErrNotSigned) {
			return nil, fmt.Errorf("%w; --previous-key names the key of a note that another key signed", err)
		}
		if err != nil {
			return nil, err
		}
		if before == nil || e.Version > before.Version {
			before = e
		}
	}
	return before, nil
}

// draft reads what to expect.
func (o *signFlags) draft(args []string, before *expect.Expectations) (*expect.Expectations, error) {
	switch {
	case len(args) == 1 && len(o.releases) > 0:
		return nil, errors.New("give either a draft or --release")
	case len(args) == 1:
		text, err := cli.ReadAtMost(args[0], expect.MaxSize)
		if err != nil {
			return nil, err
		}
		e, err := expect.ParseDraft(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", args[0], err)
		}
		return e, nil
	case len(o.releases) > 0:
		var text strings.Builder
		for _, release := range o.releases {
			lines, err := releaseLines(release)
			if err != nil {
				return nil, fmt.Errorf("--release %q: %w", release, err)
			}
			text.WriteString(lines)
		}
		e, err := expect.ParseDraft(text.String())
		if err != nil {
			return nil, fmt.Errorf("--release: %w", err)
		}
		if before != nil {
			e.Bases = before.Bases
		}
		return e, nil
	case before != nil:
		again := *before
		return &again, nil
	}
	return nil, errors.New("give a draft of what to expect (publisher expect learn proposes one), or --release")
}

// releaseLines returns the lines of a release that a flag gives, in which a file may be
// read for its size and hashes.
func releaseLines(flag string) (string, error) {
	var b strings.Builder
	for i, line := range strings.Split(flag, ";") {
		line = strings.TrimSpace(line)
		if i == 0 {
			line = "release " + line
		}
		if rest, ok := strings.CutPrefix(line, "file "); ok {
			if path, file, ok := strings.Cut(rest, "="); ok {
				file, custom, hasCustom := strings.Cut(file, " custom:")
				f, err := os.Open(file)
				if err != nil {
					return "", err
				}
				sum, sum512 := sha256.New(), sha512.New()
				size, err := io.Copy(io.MultiWriter(sum, sum512), f)
				if err = errors.Join(err, f.Close()); err != nil {
					return "", err
				}
				line = fmt.Sprintf("file %s %d sha256:%x,sha512:%x", path, size, sum.Sum(nil), sum512.Sum(nil))
				if hasCustom {
					line += " custom:" + custom
				}
			}
		}
		b.WriteString(line + "\n")
	}
	return b.String(), nil
}
