package cli

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

const maxPolicy = 16 << 20 // bytes

// ReadPolicy reads the trust policy file that a --policy flag names.
func ReadPolicy(path string) (*proofs.Policy, error) { return ReadPolicyOf("policy", path) }

// ReadPolicyOf reads the trust policy file that a flag names.
func ReadPolicyOf(flag, path string) (*proofs.Policy, error) {
	if path == "" {
		return nil, fmt.Errorf("give the trust policy with --%s FILE", flag)
	}
	if path == "-" {
		return nil, fmt.Errorf("--%s -: the trust policy is not read from stdin here: name a file, or /dev/stdin", flag)
	}
	text, err := ReadAtMost(path, maxPolicy)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return nil, fmt.Errorf("--%s: %s is JSON; a trust policy has lines such as \"log VKEY URL\" (c2sp.org/tlog-policy)", flag, path)
	}
	policy, err := proofs.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: %s: %w", flag, path, err)
	}
	return policy, nil
}

// LogURL returns the URL of the log: that of the --log flag or, if it is empty, the URL
// that the policy gives for its one log. While a log's key is being replaced the policy
// lists the log by two keys.
func LogURL(flag string, policy *proofs.Policy) (string, error) {
	if flag != "" {
		if err := CheckURL(flag); err != nil {
			return "", fmt.Errorf("--log: %w", err)
		}
		return flag, nil
	}
	url := ""
	for _, l := range policy.Logs {
		if l.Key.Name() != policy.Logs[0].Key.Name() || l.URL == "" || url != "" && l.URL != url {
			url = ""
			break
		}
		url = l.URL
	}
	if url == "" {
		return "", errors.New("the policy does not name the URL of one log: say which with --log URL")
	}
	return url, nil
}

// CheckURL refuses text that a person may mistake for a URL, such as
// localhost:7370.
func CheckURL(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not an http or https URL", fetch.Redacted(s))
	}
	return nil
}

// CheckBaseURL refuses what no file can be fetched from: the names of files are put behind
// it.
func CheckBaseURL(s string) error {
	if err := CheckURL(s); err != nil {
		return err
	}
	if strings.ContainsAny(s, "?#") {
		return fmt.Errorf("%q: file names are put behind the URL, so it cannot have a query or a fragment", fetch.Redacted(s))
	}
	return nil
}

// CheckName refuses a permanent name that should be a URL without its scheme, but
// has a scheme.
func CheckName(name string) error {
	if _, rest, ok := strings.Cut(name, "://"); ok {
		return fmt.Errorf("%q: leave out the scheme: %s", name, rest)
	}
	return nil
}

// Keys returns the public keys given one by one and those of a policy, of its
// logs and its witnesses; an empty path means no policy.
func Keys(vkeys []string, policy string) ([]proofs.Key, error) {
	var keys []proofs.Key
	for _, v := range vkeys {
		k, err := proofs.ParseKey(v)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if policy == "" {
		return keys, nil
	}
	p, err := ReadPolicy(policy)
	if err != nil {
		return nil, err
	}
	return append(keys, p.Keys()...), nil
}
