package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

// repositoryOf returns the id, or the beginning of one, that an argument stands for: it
// is that itself, a file of the repository, or the label that the log that --log names
// has for it.
func repositoryOf(ctx context.Context, arg, flag string, policy *proofs.Policy) (string, error) {
	file, err := cli.ReadAtMost(arg, tuf.MaxFileSize)
	switch {
	case err == nil:
		return repositoryOfFile(arg, file)
	case errors.Is(err, cli.ErrTooLarge):
		return "", err
	case arg == "":
		return "", errors.New("repository \"\": want the beginning of an id in hex, a file or a label")
	}
	if hex := strings.ToLower(arg); len(hex) <= 64 && strings.Trim(hex, "0123456789abcdef") == "" {
		return hex, nil
	}
	url, err := askableURL(flag, policy)
	if err != nil {
		return "", fmt.Errorf("%q is neither the beginning of an id in hex nor a file: %w", arg, err)
	}
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := (&api.Client{Base: url}).Repositories(ctx)
	if err != nil {
		return "", fmt.Errorf("%q is neither the beginning of an id in hex nor a file, and the log does not tell whose label it is: %w", arg, err)
	}
	found := ""
	for _, r := range list.Repositories {
		switch {
		case r.Label != arg:
		case found != "":
			return "", fmt.Errorf("the log has %q as the label of two repositories, %s and %s: name one by its id", arg, found, r.ID)
		default:
			found = r.ID
		}
	}
	if _, err := tuf.ParseRepository(found); err != nil {
		return "", fmt.Errorf("%q is neither the beginning of an id in hex, nor a file, nor a label that the log has for a repository", arg)
	}
	return found, nil
}

// repositoryOfFile returns the repository to which a file says that it belongs. Nothing
// is verified: the replay finds it or not.
func repositoryOfFile(name string, file []byte) (string, error) {
	if proof, err := proofs.ParseProof(file); err == nil {
		leaf, err := leaf.Parse(proof.Extra)
		if err != nil {
			return "", fmt.Errorf("%s: its entry is not a leaf: %w", name, err)
		}
		return leaf.Repository.String(), nil
	}
	m, err := codec.ParseAny(file)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s is neither a .tlog-proof nor a root: %w", name, err)
	case m.Root == nil:
		return "", fmt.Errorf("%s is %s metadata, which does not name its repository: give the .tlog-proof beside it, or the repository's first root", name, m.Type)
	}
	return m.PayloadDigest.String(), nil
}
