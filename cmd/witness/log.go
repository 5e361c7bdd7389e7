package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Choose the logs that the witness cosigns",
		Example: `  witness log add --dir ./w1 --url https://log.example log.example+1e7f7b5c+AQQcH1nDDGGoOCMoZYsGAl5T6l4Db5EU0oEuXPMUlzwb
  witness log list --dir ./w1`,
	}
	cmd.AddCommand(newLogAdd(), newLogRemove(), newLogList(), newLogImport())
	return cmd
}

// withStore opens the state of a witness for one thing.
func withStore(dir string, f func(*sqlite.Store) error) error {
	store, err := sqlite.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f(store), store.Close())
}

// cleanURL checks the prefix below which a log or a witness publishes.
func cleanURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%.200q is not an http or https URL to add a path to", fetch.Redacted(s))
	}
	return strings.TrimSuffix(s, "/"), nil
}

// named says of which log an error is, and where to look for its origin.
func named(origin string, err error) error {
	if errors.Is(err, witness.ErrUnknownLog) {
		return fmt.Errorf("log %.200q: %w; see witness log list", origin, witness.ErrUnknownLog)
	}
	return err
}
