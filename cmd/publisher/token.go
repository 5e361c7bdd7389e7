package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/cmd/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/publish"
)

// owner is a client of the log that looks after the token that a repository gets when
// it is registered.
type owner struct {
	*api.Client
	out    string // the token's file; empty: it is printed
	stderr io.Writer
}

// newOwner returns a client that sends the token of the file, if the file is there.
func newOwner(client *api.Client, out string, stderr io.Writer) (*owner, error) {
	o := &owner{client, out, stderr}
	if out == "" {
		return o, nil
	}
	token, err := keyfile.Read(out)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	o.NewToken = token
	return o, err
}

// Register implements publish.Log. The token is chosen here, and in its file before the
// log hears of it: it is not lost if the answer is.
func (o *owner) Register(ctx context.Context, root []byte) (*api.Result, error) {
	made := o.NewToken == "" && o.Token != ""
	if made {
		o.NewToken = api.GenerateToken()
		if o.out != "" {
			if err := keyfile.Create(o.out, o.NewToken); err != nil {
				return nil, err
			}
		}
	}
	res, err := o.Client.Register(ctx, root)
	switch {
	case err != nil && made && o.out == "":
		fmt.Fprintf(o.stderr, "should the repository be registered nevertheless, its token, shown this once, is %s\n", o.NewToken)
	case err != nil:
	case res.Token == nil && made: // it is nobody's
		o.NewToken = ""
		if o.out != "" {
			err = os.Remove(o.out)
		}
	case res.Token == nil:
	case o.out != "":
		fmt.Fprintf(o.stderr, "the token of repository %s is in %s: send it with what you submit, by --token-file\n", res.Repository, o.out)
	default:
		fmt.Fprintf(o.stderr, "the token of repository %s, shown this once: %s\nkeep it, and send it with what you submit, by --token-file: submissions without it are held for a while\n", res.Repository, o.NewToken)
	}
	return res, err
}

// Submit implements publish.Log.
func (o *owner) Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error) {
	if o.out != "" && o.NewToken != "" {
		o.Own(repository, o.NewToken)
	}
	return o.Client.Submit(ctx, repository, files)
}

// explainHeld says what to do about files that are held; nil if none are.
func explainHeld(report *publish.Report) error {
	held := report.Held()
	if len(held) == 0 {
		return nil
	}
	// Times of one form and zone are ordered like their texts.
	last := slices.MaxFunc(held, func(a, b publish.Verdict) int { return strings.Compare(a.HeldUntil, b.HeldUntil) })
	return fmt.Errorf("%d of %d files are not logged yet: they are held, the last until %s, because the repository has a token and they came without it. Send them again with the token (--token-file); the log's operator can make the vendor another. Or run this again after that time",
		len(held), len(report.Files), last.HeldUntil)
}

// outcome is how submit ends when its report has been printed.
func outcome(report *publish.Report, stderr io.Writer) error {
	held := explainHeld(report)
	if len(report.Evidence())+len(report.Refused()) == 0 {
		return held
	}
	if held != nil {
		fmt.Fprintln(stderr, held)
	}
	return cli.Failed(cli.ErrReported)
}
