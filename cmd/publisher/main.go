// Command publisher is the vendor's side of a log: it submits signed metadata,
// waits for the witnessed proof and writes it beside the metadata.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/tuf"
)

func main() { cli.Main(build) }

func build() *cobra.Command {
	root := &cobra.Command{
		Use:   "publisher",
		Short: "Publish TUF metadata in a transparency log",
		Long: `Publisher is the vendor's side of a transparency log: it submits signed TUF
metadata, waits until a quorum of witnesses has cosigned it, and writes the proof
that devices require beside each file.`,
		Example: `  publisher check ./metadata
  publisher submit --policy policy.txt ./metadata
  publisher refresh --policy policy.txt ./metadata
  publisher gate --gate https://gate.example ./metadata
  publisher import --policy policy.txt ./history`,
	}
	root.AddCommand(checkCommand(), submitCommand(), refreshCommand(), importCommand(), expectCommand(), gateCommand())
	return root
}

// options are the flags that several commands have.
type options struct {
	log, policy, repository, tokenFile, tokenOut string
	genesis                                      int64
	replace, allSignatures                       bool
	timeout                                      time.Duration
	json                                         bool
}

func (o *options) register(cmd *cobra.Command) {
	o.registerAny(cmd)
	f := cmd.Flags()
	f.StringVar(&o.repository, "repository", "", "publish to this repository (64 hex digits) and open no other")
	f.Int64Var(&o.genesis, "genesis", 0, "begin the repository with the root of this `VERSION`, or join the one that begins with it (default: version 1)")
	f.StringVar(&o.tokenFile, "token-file", "", "`FILE` with the token to send, - for stdin: the repository's own or, to register one, the log's registration token (default: the environment's "+tokenVariable+")")
	f.StringVar(&o.tokenOut, "token-out", "", "file for the repository's own token: written when the repository is registered, sent if it is there (default: print it)")
}

// registerAny declares the flags that every command has which asks a log.
func (o *options) registerAny(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.log, "log", "", "`URL` of the log (default: the one that the policy names)")
	f.StringVar(&o.policy, "policy", "", "trust policy (c2sp.org/tlog-policy) that every proof must satisfy")
	f.DurationVar(&o.timeout, "timeout", publish.DefaultTimeout, "how long one request may wait for its witnessed proof")
	f.BoolVar(&o.json, "json", false, "print JSON")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err) // a flag that was not declared above
	}
}

// config reads what the flags name.
func (o *options) config(cmd *cobra.Command) (publish.Config, *owner, error) {
	cfg := publish.Config{Timeout: o.timeout}
	var err error
	if cfg.Policy, err = cli.ReadPolicy(o.policy); err != nil {
		return cfg, nil, err
	}
	url, err := cli.LogURL(o.log, cfg.Policy)
	if err != nil {
		return cfg, nil, err
	}
	if o.repository != "" {
		if cfg.Repository, err = repositoryID(o.repository); err != nil {
			return cfg, nil, err
		}
	}
	if err := checkGenesis(o.genesis); err != nil {
		return cfg, nil, err
	}
	cfg.Genesis, cfg.Replace, cfg.AllSignatures = o.genesis, o.replace, o.allSignatures
	if o.timeout <= 0 {
		return cfg, nil, fmt.Errorf("--timeout %v: want a positive duration", o.timeout)
	}
	client := &api.Client{Base: url}
	token, from, err := readToken(o.tokenFile, cmd.InOrStdin())
	if err != nil {
		return cfg, nil, err
	}
	client.Token = token
	log, err := newOwner(client, o.tokenOut, from, cmd.ErrOrStderr())
	cfg.Log = log
	return cfg, log, err
}

// repositoryID reads the flag --repository.
func repositoryID(flag string) (tuf.Digest, error) {
	id, err := tuf.ParseRepository(flag)
	if err != nil {
		return id, fmt.Errorf("--repository: %w", err)
	}
	return id, nil
}

// explain turns an error of package publish into the program's: what the log
// could not prove is a verdict (exit 1), all else an outage or wrong usage (2).
func (o *owner) explain(err error) error {
	var problem *api.ProblemError
	switch {
	case errors.As(err, &problem) && problem.Code == api.CodeUnauthorized && o.sent == "":
		return fmt.Errorf("%w (give --token-file or %s)", err, tokenVariable)
	case errors.As(err, &problem) && problem.Code == api.CodeUnauthorized:
		return fmt.Errorf("%w (the token from %s was sent; the log's operator can make another)", err, o.sent)
	case errors.Is(err, context.DeadlineExceeded):
		if why := o.why(); !strings.Contains(err.Error(), why) {
			err = fmt.Errorf("%w; %s", err, why)
		}
		return fmt.Errorf("%w: no proof within --timeout. Run this again: files logged meanwhile keep their index", err)
	}
	return advise(err)
}

// advise is explain for what has nothing to do with a log.
func advise(err error) error {
	var unproved *publish.ProofError
	var undecided *publish.UndecidedError
	var replaces *publish.ReplaceError
	switch {
	case errors.As(err, &undecided):
		return fmt.Errorf("%w.\nNothing was sent. %s", err, ways(undecided))
	case errors.As(err, &replaces):
		return fmt.Errorf("%w.\nNothing was sent. Submit a copy of the folder without its proofs, or give --replace to overwrite them", err)
	case errors.As(err, &unproved) && errors.As(err, new(*proofs.QuorumError)):
		return cli.Failed(fmt.Errorf("%w. (If what is missing is an auditor, which cosigns after publication: put it into a group %q of the policy, so that this is known)", err, proofs.AuditorsGroup))
	case errors.As(err, &unproved):
		return cli.Failed(err)
	case errors.Is(err, publish.ErrNoRepository):
		return fmt.Errorf("%w: add the repository's roots or give --repository ID", err)
	}
	return err
}

// checkGenesis checks the flag --genesis.
func checkGenesis(version int64) error {
	if version < 0 {
		return fmt.Errorf("--genesis %d: want the version of a root", version)
	}
	return nil
}

// ways says what a person can decide about a repository.
func ways(e *publish.UndecidedError) string {
	list := []string{"Add the missing roots to the submitted files"}
	for _, id := range e.Repositories {
		list = append(list, "give --repository "+id+" to publish there, if it is yours")
	}
	if e.Genesis > 0 {
		list = append(list, fmt.Sprintf("give --genesis %d to begin a repository with root %d", e.Genesis, e.Genesis))
	}
	return strings.Join(list, "; or ")
}
