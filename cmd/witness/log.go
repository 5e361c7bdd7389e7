package main

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tuflog/tuflog/witness/sqlite"
)

func newLog() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Say which logs the witness cosigns",
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

// cleanURL checks the prefix below which a log publishes.
func cleanURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%.200q is not the URL of a log", s)
	}
	return strings.TrimSuffix(s, "/"), nil
}
