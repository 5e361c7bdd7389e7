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
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/publish"
)

// tokenVariable is the environment variable with the token to send, where no file is
// named.
const tokenVariable = "TUFLOG_TOKEN"

// readToken returns the token to send and where it comes from: from a file, from stdin
// where that is -, or from the environment. Both are empty where there is none.
func readToken(path string, stdin io.Reader) (token, from string, err error) {
	switch path {
	case "":
		token, ok, err := keyfile.FromEnv(tokenVariable)
		if !ok {
			return "", "", err
		}
		return token, tokenVariable, err
	case "-":
		token, err = keyfile.ReadFrom(stdin, "stdin")
		return token, "stdin", err
	}
	token, err = keyfile.Read(path)
	return token, path, err
}

// owner is a client of the log that looks after the token that a repository gets when
// it is registered, and after the person who waits.
type owner struct {
	*api.Client
	out    string // the token's file; empty: it is printed
	from   string // where Client.Token comes from; empty: there is none
	sent   string // where the token comes from that was sent last
	stderr io.Writer

	mu   sync.Mutex
	said string // why the log cannot publish, as it was told last
}

// newOwner returns a client that sends the token of the file, if the file is there.
func newOwner(client *api.Client, out, from string, stderr io.Writer) (*owner, error) {
	o := &owner{Client: client, out: out, from: from, stderr: stderr}
	client.Waits = o.waits
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
	o.sent = o.from
	defer o.watch(ctx)()
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
		fmt.Fprintf(o.stderr, "the token of repository %s is in %s: send it with every submission, by --token-file\n", res.Repository, o.out)
	default:
		fmt.Fprintf(o.stderr, "the token of repository %s, shown this once: %s\nkeep it, and send it with every submission, by --token-file: submissions without it are held for a while\n", res.Repository, o.NewToken)
	}
	return res, err
}

// Submit implements publish.Log.
func (o *owner) Submit(ctx context.Context, repository string, files []api.File) (*api.Result, error) {
	o.sent = o.from
	if o.out != "" && o.NewToken != "" {
		o.Own(repository, o.NewToken)
		o.sent = o.out
	}
	defer o.watch(ctx)()
	return o.Client.Submit(ctx, repository, files)
}

// longWait is after which time a person wonders whether anything happens.
const longWait = 10 * time.Second

// waits writes why the log cannot publish, once as long as it stays the same.
func (o *owner) waits(why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if why != o.said {
		fmt.Fprintf(o.stderr, "waiting; the log says: %q\n", why)
	}
	o.said = why
}

// watch asks the log why it takes so long, if it does, until stop is called.
func (o *owner) watch(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(longWait, func() {
		why, err := o.Ready(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			fmt.Fprintf(o.stderr, "still waiting for proofs; the log does not give the reason: %v\n", err)
		case why == "":
			fmt.Fprintln(o.stderr, "still waiting for proofs; the log says that it can publish")
		default:
			o.waits(why)
		}
	})
	return func() {
		timer.Stop()
		cancel()
	}
}

// why asks the log for the reason of a wait that has ended without a proof. Not the
// command's context: that may have ended with it.
func (o *owner) why() string {
	ctx, cancel := context.WithTimeout(context.Background(), longWait)
	defer cancel()
	why, err := o.Ready(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("asked for the reason it does not answer either: %v", err)
	case why == "":
		return "the log says that it can publish now"
	}
	return fmt.Sprintf("the log says: %q", why)
}

// explainHeld says what to do about files that are held; nil if none are. Sent is where
// the token comes from that went with them, empty if there was none.
func explainHeld(report *publish.Report, sent string) error {
	held := report.Held()
	if len(held) == 0 {
		return nil
	}
	without := "they came without it"
	if sent != "" {
		without = "the one from " + sent + " is another"
	}
	// Times of one form and zone are ordered like their texts.
	last := slices.MaxFunc(held, func(a, b publish.Verdict) int { return strings.Compare(a.HeldUntil, b.HeldUntil) })
	return fmt.Errorf("%d of %d files are not logged yet: they are held, the last until %s, because the repository has a token of its own and %s. Send them again with that token (--token-file or %s); the log's operator can make the vendor another. Or run this again after that time",
		len(held), len(report.Files), last.HeldUntil, without, tokenVariable)
}

// outcome is how submit ends when its report has been printed.
func outcome(report *publish.Report, sent string, stderr io.Writer) error {
	held := explainHeld(report, sent)
	if len(report.Evidence())+len(report.Refused()) == 0 {
		return held
	}
	if held != nil {
		fmt.Fprintln(stderr, held)
	}
	return cli.Failed(cli.ErrReported)
}
