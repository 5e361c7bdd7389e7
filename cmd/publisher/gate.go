package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
)

// gateFlags are the flags of gate.
type gateFlags struct {
	gates           []string
	repository, url string
	wait, every     time.Duration
	timeout         time.Duration
	loop, json      bool
}

func gateCommand() *cobra.Command {
	var o gateFlags
	cmd := &cobra.Command{
		Use:   "gate --gate URL... DIR",
		Short: "Have gates sign the timestamp of what is logged",
		Long: `Ask gates to sign DIR/timestamp.json, all at once, until it has as many signatures as the
root wants, and put them into the file. What they sign, and all else of the file, stays as
it is. Run it after submit, when the proofs lie beside the files, and before the metadata is
published. It can be run again at any time: what is signed already is asked for no more.

The repository is sent to the gates as a tar file. With --url they fetch it from there, where
what is in DIR is staged; their operators have to allow that URL.

Each gate that does not sign says why, with a code (docs/gate.md, docs/refusals.md). One that
cannot be reached, or has too much to do, is asked again until --wait is over. One that takes a
request and does not answer is waited for until --timeout is over.

With --loop it looks at DIR/timestamp.json every --every, and has it signed whenever it lacks
signatures, as for a repository whose timestamp is signed again each day. It ends when it is
interrupted.

Exit codes: 0 the timestamp has all signatures; 1 too many gates have refused; 2 wrong usage,
or too few gates could be asked.`,
		Example: `  publisher gate --gate https://gate.example --gate https://gate2.example ./metadata
  publisher gate --gate https://gate.example --wait 10m ./metadata
  publisher gate --gate https://gate.example --loop ./metadata
  publisher gate plan --gate https://gate.example --gate https://gate2.example --need 1 ./metadata`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(o.gates) == 0 {
				return errors.New("want --gate URL for each gate")
			}
			for _, url := range o.gates {
				if err := cli.CheckBaseURL(url); err != nil {
					return fmt.Errorf("--gate: %w", err)
				}
			}
			if o.url != "" {
				if err := cli.CheckBaseURL(o.url); err != nil {
					return fmt.Errorf("--url: %w", err)
				}
			}
			if o.wait < 0 || o.every < time.Second || o.timeout < time.Second {
				return errors.New("--wait, --every and --timeout: want a duration, --every and --timeout a second or more")
			}
			if o.loop {
				return o.follow(cmd, args[0])
			}
			return o.once(cmd.Context(), cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.gates, "gate", nil, "`URL` of a gate (repeatable)")
	f.StringVar(&o.repository, "repository", "", "the repository (64 hex digits) (default: that of DIR/1.root.json)")
	f.StringVar(&o.url, "url", "", "`URL` where the same metadata is staged, for gates to fetch (default: it is sent to them)")
	f.DurationVar(&o.wait, "wait", 30*time.Second, "how long to ask again gates that cannot answer now")
	f.DurationVar(&o.timeout, "timeout", client.DefaultTimeout, "how long the answer to one request may take")
	f.BoolVar(&o.loop, "loop", false, "look again and again, until interrupted")
	f.DurationVar(&o.every, "every", time.Minute, "how often --loop looks")
	f.BoolVar(&o.json, "json", false, "print JSON")
	cmd.AddCommand(gatePlanCommand())
	return cmd
}

// gated is what gate prints.
type gated struct {
	Timestamp string     `json:"timestamp"` // its path
	Version   int64      `json:"version"`
	Payload   tuf.Digest `json:"payload"`
	Had       int        `json:"had"`    // signatures that counted before
	Has       int        `json:"has"`    // that count now
	Wanted    int        `json:"wanted"` // by the root
	Gates     []gateSaid `json:"gates"`
}

// gateSaid is what came of one gate.
type gateSaid struct {
	Gate   string `json:"gate"`
	Signed bool   `json:"signed"`
	KeyID  string `json:"keyid,omitempty"`
	Code   string `json:"code,omitempty"` // of its refusal; empty also if it could not be asked
	Role   string `json:"role,omitempty"`
	Why    string `json:"why,omitempty"`
}

// once has the timestamp of a folder signed.
func (o *gateFlags) once(ctx context.Context, cmd *cobra.Command, dir string) error {
	staged, err := client.ReadStaged(dir)
	if err != nil {
		return err
	}
	repository, err := o.repositoryOf(staged)
	if err != nil {
		return err
	}
	keys := staged.Keys()
	if keys.Threshold() < 2 {
		return fmt.Errorf("%s: its root wants one signature of a timestamp, so no gate has to sign, and clients take what no log has: publisher gate plan says what to change", staged.Path)
	}
	c := client.Collection{Repository: repository, Staged: staged, URL: o.url, Wait: o.wait, Timeout: o.timeout}
	for _, url := range o.gates {
		c.Gates = append(c.Gates, client.Gate{URL: url})
	}
	if staged.Lacks() == 0 {
		if err := namesNone(ctx, c.Gates, staged); err != nil {
			return err
		}
	}
	results, collected := client.Collect(ctx, c)
	if results == nil {
		return collected
	}
	said := gated{Timestamp: staged.Path, Version: staged.Timestamp.Version, Payload: staged.Timestamp.PayloadDigest, Had: len(staged.Timestamp.Signers(keys)), Wanted: keys.Threshold()}
	merged := staged.Timestamp
	var signatures []client.Signature
	for _, r := range results {
		said.Gates = append(said.Gates, saidBy(r))
		if r.Signature != nil {
			signatures = append(signatures, *r.Signature)
		}
	}
	// Those of some gates are kept, too: the others may be there the next time.
	var replaced error
	if len(signatures) > 0 {
		m, err := mergeInto(staged, signatures)
		switch {
		case errors.Is(err, errReplaced):
			replaced = err
		case err != nil:
			return err
		default:
			merged = m
		}
	}
	said.Has = len(merged.Signers(keys))
	if err := said.print(cmd, o.json); err != nil {
		return err
	}
	if replaced != nil {
		return replaced
	}
	return verdictOf(ctx, collected, results)
}

// askFor is how long a gate's key is waited for.
const askFor = 10 * time.Second

// namesNone refuses a timestamp that is complete without gates: of those that answer, the root names
// none. Gates that do not answer now may have signed it.
func namesNone(ctx context.Context, gates []client.Gate, staged *client.Staged) error {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	keys := staged.Keys()
	answered := make([]bool, len(gates))
	named := make([]bool, len(gates))
	var all sync.WaitGroup
	for i, g := range gates {
		all.Go(func() {
			key, err := g.Key(ctx)
			answered[i] = err == nil
			named[i] = err == nil && len(keys.IDs(key.Identity())) > 0
		})
	}
	all.Wait()
	if !slices.Contains(answered, true) || slices.Contains(named, true) {
		return nil
	}
	return fmt.Errorf("%s has the %d signatures that root %d wants, and that root names none of these gates for the timestamp: clients take what no gate has signed. Is the newest root in the folder? publisher gate plan says what to change", staged.Path, keys.Threshold(), staged.Root.Version)
}

// errReplaced is wrapped if the folder has another timestamp than the one that gates signed.
var errReplaced = errors.New("the timestamp was replaced while the gates were asked")

// mergeInto puts signatures into the timestamp of a folder, and returns what is there then.
// Gates may take minutes: whoever signs timestamps may have put a newer one there meanwhile,
// which stays, and another run may have put signatures into this one, which stay too.
func mergeInto(staged *client.Staged, signatures []client.Signature) (*tuf.Metadata, error) {
	file, err := regular.ReadSome(staged.Path, tuf.MaxFileSize+1)
	if err != nil {
		return nil, err
	}
	now, err := tuf.ParseJSON(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be read now, and is left as it is: %w", errReplaced, staged.Path, err)
	}
	if now.PayloadDigest != staged.Timestamp.PayloadDigest {
		return nil, fmt.Errorf("%w: %s has version %d now, and version %d was signed: it is left as it is; run this again", errReplaced, staged.Path, now.Version, staged.Timestamp.Version)
	}
	b, err := client.Merge(file, signatures...)
	if err != nil {
		return nil, err
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		return nil, err
	}
	return m, durable.WriteFile(staged.Path, b, 0o644)
}

func (o *gateFlags) repositoryOf(staged *client.Staged) (tuf.Digest, error) {
	if o.repository == "" {
		if staged.Repository.IsZero() {
			return tuf.Digest{}, errors.New("the folder has no 1.root.json that tells the repository: give --repository ID (publisher submit prints it)")
		}
		return staged.Repository, nil
	}
	return repositoryID(o.repository)
}

func saidBy(r client.Result) gateSaid {
	s := gateSaid{Gate: r.Gate}
	var refused *client.Refused
	switch {
	case r.Signature != nil:
		s.Signed, s.KeyID = true, r.Signature.KeyID
	case errors.As(r.Err, &refused):
		s.Code, s.Role, s.Why = string(refused.Code), refused.Role, refused.Detail
	default:
		s.Why = r.Err.Error()
	}
	return s
}

// verdictOf is the error of a run that has too few signatures: a verdict if gates have refused
// for good, an outage if others could have signed.
func verdictOf(ctx context.Context, err error, results []client.Result) error {
	if err == nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	for _, r := range results {
		if r.Err != nil && !client.Passing(r.Err) {
			return cli.Failed(err)
		}
	}
	return fmt.Errorf("%w: run this again when the others can be reached; nothing of what was signed is lost", err)
}

func (g *gated) print(cmd *cobra.Command, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return cli.WriteJSON(out, g)
	}
	switch {
	case g.Had >= g.Wanted:
		fmt.Fprintf(out, "%s, version %d, has the %d signatures that its root wants; no gate was asked to sign.\n", g.Timestamp, g.Version, g.Wanted)
		return nil
	case g.Has >= g.Wanted:
		fmt.Fprintf(out, "%s, version %d, has the %d signatures that its root wants.\n\n", g.Timestamp, g.Version, g.Wanted)
	default:
		fmt.Fprintf(out, "%s, version %d, has %d of the %d signatures that its root wants: clients refuse it.\n\n", g.Timestamp, g.Version, g.Has, g.Wanted)
	}
	table := printable.NewTable(out, "gate", "", "why")
	for _, s := range g.Gates {
		switch {
		case s.Signed:
			table.Row(s.Gate, "signed", "")
		case s.Code != "" && s.Role != "":
			table.Row(s.Gate, s.Code, s.Role+": "+s.Why)
		case s.Code != "":
			table.Row(s.Gate, s.Code, s.Why)
		default:
			table.Row(s.Gate, "–", s.Why)
		}
	}
	return table.Flush()
}

// follow has the timestamp signed whenever it lacks signatures.
func (o *gateFlags) follow(cmd *cobra.Command, dir string) error {
	ctx := cmd.Context()
	for {
		staged, err := client.ReadStaged(dir)
		switch {
		case err != nil: // it may be half written
			fmt.Fprintf(cmd.ErrOrStderr(), "%v\n", err)
		case staged.Lacks() > 0:
			if err := o.once(ctx, cmd, dir); err != nil && ctx.Err() == nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%v\n", err)
			}
		}
		if wait.For(ctx, o.every) != nil {
			return nil
		}
	}
}
