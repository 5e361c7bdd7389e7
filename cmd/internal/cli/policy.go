package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/tuflog/tuflog/proofs"
)

// ReadPolicy reads the trust policy file that a --policy flag names.
func ReadPolicy(path string) (*proofs.Policy, error) {
	if path == "" {
		return nil, errors.New("give the trust policy with --policy FILE")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	policy, err := proofs.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return policy, nil
}

// LogURL returns where the log is: what a --log flag said or, where that is
// empty, the URL that the policy gives its one log.
func LogURL(flag string, policy *proofs.Policy) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if len(policy.Logs) != 1 || policy.Logs[0].URL == "" {
		return "", errors.New("the policy does not name the URL of one log: say which with --log URL")
	}
	return policy.Logs[0].URL, nil
}
