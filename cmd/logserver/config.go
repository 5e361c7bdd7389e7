package main

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/internal/labels"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// applyConfig sets the flags that a config file gives and the command line does
// not. The file has lines "key = value", the keys being names of flags, and
// comment lines that begin with "#". One file serves all commands: a key that
// is a flag of serve is fine for every other, which leaves out the flags that it does not have.
func applyConfig(cmd *cobra.Command, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	known := newServe().Flags()
	decided := fromCommandLine(cmd.Flags())
	seen := map[string]int{}
	n := 0
	if strings.HasPrefix(string(text), "\xef\xbb\xbf") {
		return fmt.Errorf("%s: begins with a byte order mark (EF BB BF): save it as UTF-8 without one", path)
	}
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		own := cmd.Flags().Lookup(key)
		switch {
		case !ok || key == "":
			return fmt.Errorf("%s: line %d: %q is not of the form key = value", path, n, line)
		case key == "config" || key == "help" || own == nil && known.Lookup(key) == nil:
			return fmt.Errorf("%s: line %d: there is no setting %q; the settings are the flags of logserver serve", path, n, key)
		case seen[key] != 0:
			return fmt.Errorf("%s: line %d: %s was set in line %d already", path, n, key, seen[key])
		case strings.Contains(value, " #"):
			return fmt.Errorf("%s: line %d: %q: comments take whole lines", path, n, value)
		case value == "":
			return fmt.Errorf("%s: line %d: %s has no value; leave the line out for the default", path, n, key)
		}
		seen[key] = n
		if own == nil || decided[key] {
			continue
		}
		if err := cmd.Flags().Set(key, value); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
		cli.SetFromConfig(own)
	}
	return nil
}

// registration are the flags of which one excludes the others.
var registration = []string{"open-registration", "closed-registration", "token-file"}

// fromCommandLine returns the flags that the command line has decided: those it
// names, and those that exclude one it names.
func fromCommandLine(flags *pflag.FlagSet) map[string]bool {
	decided := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) {
		decided[f.Name] = true
		if slices.Contains(registration, f.Name) {
			for _, other := range registration {
				decided[other] = true
			}
		}
	})
	return decided
}

// quotaFlags are the flags of limits: of quota.Limits' quotas, and of connections.
type quotaFlags struct {
	anonymous, anonymousBytes, holder, holderBytes rateFlag
	connections                                    int64
}

func (q *quotaFlags) flags(f *pflag.FlagSet) {
	a, h := quota.DefaultLimits.Anonymous, quota.DefaultLimits.Holder
	q.anonymous, q.anonymousBytes = rateFlag{a.Submissions, a.SubmissionBurst}, rateFlag{a.Bytes, a.ByteBurst}
	q.holder, q.holderBytes = rateFlag{h.Submissions, h.SubmissionBurst}, rateFlag{h.Bytes, h.ByteBurst}
	f.Var(&q.anonymous, "quota", "submissions a second, and at once, of a network (IPv4 /24, IPv6 /48) without a token; or off")
	f.Var(&q.anonymousBytes, "quota-bytes", "the same in bytes")
	f.Var(&q.holder, "token-quota", "submissions a second, and at once, of the holder of a token; or off")
	f.Var(&q.holderBytes, "token-quota-bytes", "the same in bytes")
	f.Int64Var(&q.connections, "max-connections", quota.DefaultLimits.Connections, "connections at once; one more closes another, an idle one first, of the network that has the most")
}

// limits are the log's with these quotas.
func (q *quotaFlags) limits() quota.Limits {
	l := quota.DefaultLimits
	l.Connections = q.connections
	l.Anonymous, l.Holder = quotaOf(q.anonymous, q.anonymousBytes, l.Anonymous), quotaOf(q.holder, q.holderBytes, l.Holder)
	return l
}

// quotaOf changes what there are flags for.
func quotaOf(submissions, bytes rateFlag, q quota.Quota) quota.Quota {
	q.Submissions, q.SubmissionBurst = submissions.rate, submissions.burst
	q.Bytes, q.ByteBurst = bytes.rate, bytes.burst
	return q
}

// rateFlag is RATE/BURST, or off, as a pflag.Value.
type rateFlag struct{ rate, burst float64 }

func (r *rateFlag) String() string {
	if r.rate < 0 {
		return "off"
	}
	return strconv.FormatFloat(r.rate, 'f', -1, 64) + "/" + strconv.FormatFloat(r.burst, 'f', -1, 64)
}

func (r *rateFlag) Set(s string) error {
	if s == "off" {
		*r = rateFlag{-1, 0}
		return nil
	}
	rate, burst, ok := strings.Cut(s, "/")
	a, errA := strconv.ParseFloat(rate, 64)
	b, errB := strconv.ParseFloat(burst, 64)
	// The bounds also keep out NaN.
	if !ok || errA != nil || errB != nil || !(a > 0 && a <= 1e15) || !(b >= 1 && b <= 1e15) {
		return fmt.Errorf("%q is neither PER-SECOND/AT-ONCE nor off", s)
	}
	*r = rateFlag{a, b}
	return nil
}

func (r *rateFlag) Type() string { return "rate/burst" }

// parseProxies reads networks and addresses.
func parseProxies(list []string) ([]netip.Prefix, error) {
	if len(list) == 0 {
		return nil, nil
	}
	prefixes := []netip.Prefix{}
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			addr, addrErr := netip.ParseAddr(s)
			if addrErr != nil {
				return nil, fmt.Errorf("--trusted-proxies: %q is neither an address nor a network such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		prefixes = append(prefixes, p.Masked())
	}
	return prefixes, nil
}

// readLabels reads the operator's names for repositories, if there are any: a file that is
// not there is empty.
func readLabels(path string) (map[tuf.Digest]string, error) {
	text, err := cli.ReadAtMost(path, labels.MaxSize)
	if os.IsNotExist(err) {
		return map[tuf.Digest]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := labels.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return names, nil
}
