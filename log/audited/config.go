package audited

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// Config configures a Keeper.
type Config struct {
	// Policies says who the auditors are, and what an audited checkpoint is.
	Policies
	// Keys are the log's public keys, its own Ed25519 key first.
	Keys []proofs.Key
	// Path is the file in which the newest audited checkpoint is kept. It need not exist.
	Path string
	// HealthPath is the file in which Health is written, for those who look from outside;
	// empty: nowhere.
	HealthPath string
	// HTTP asks the auditors, and follows no redirect; nil is one with net/http's defaults.
	HTTP *http.Client
	// Soon is the pause between two looks at an auditor that is behind what was just
	// published, Later the longest pause, of one that is not. Zero means 2 s and 30 s.
	Soon, Later time.Duration
	// Logger reports what an operator should know. Nil means slog.Default().
	Logger *slog.Logger
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.Soon == 0 {
		c.Soon = 2 * time.Second
	}
	if c.Later == 0 {
		c.Later = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Policies are the policies of a log that keeps audited checkpoints.
type Policies struct {
	// Audited is the policy of devices: it lists witnesses and auditors. Auditors are its
	// group proofs.AuditorsGroup or, without such a group, those that Published does not
	// list. Each has the URL of its monitoring prefix.
	Audited *proofs.Policy
	// Published is the policy of /checkpoint, which no auditor can help to meet.
	Published *proofs.Policy
}

// Check returns an error if Audited can be met without an auditor, or has one without a URL,
// or if Published cannot: such a log would wait for itself, because auditors cosign what is
// published.
func (p Policies) Check() error {
	auditors, err := p.auditors()
	if err != nil {
		return err
	}
	is := func(name string) bool { return auditors[name] }
	if p.Audited.CanBeMetWithout(is) {
		return fmt.Errorf("the audited policy can be met without an auditor (%s): its quorum must need one, or it would call audited what is not", names(p.Audited, is))
	}
	return p.CheckPublished(func(key proofs.Key) bool { return false })
}

// CheckPublished returns an error if Published needs the cosignature of an auditor: of one in
// Audited, if there is that, of one that Published itself calls so by its group
// proofs.AuditorsGroup, or of a key for which known returns true.
func (p Policies) CheckPublished(known func(proofs.Key) bool) error {
	keys := map[proofs.Key]bool{}
	if p.Audited != nil {
		auditors, err := p.auditors()
		if err != nil {
			return err
		}
		for _, w := range p.Audited.Witnesses {
			keys[w.Key] = auditors[w.Name]
		}
	}
	is, called := map[string]bool{}, p.Published.Auditors()
	for _, w := range p.Published.Witnesses {
		is[w.Name] = called[w.Name] || keys[w.Key] || known(w.Key)
	}
	isAuditor := func(name string) bool { return is[name] }
	if p.Published.CanBeMetWithout(isAuditor) || !p.Published.CanBeMetWithout(func(string) bool { return false }) {
		return nil
	}
	return fmt.Errorf("the policy cannot be met without %s, which audits: it cosigns only what is published, so the log would wait for itself for ever. Leave auditors out of --policy; a policy of devices that needs them is for --audited-policy", names(p.Published, isAuditor))
}

// names lists the witnesses of a policy for which is returns true.
func names(policy *proofs.Policy, is func(name string) bool) string {
	var list []string
	for _, w := range policy.Witnesses {
		if is(w.Name) {
			list = append(list, w.Name)
		}
	}
	return strings.Join(list, ", ")
}

// auditors returns the names of the auditors in the audited policy.
func (p Policies) auditors() (map[string]bool, error) {
	auditors := p.Audited.Auditors()
	if len(auditors) == 0 {
		auditors = map[string]bool{}
		for _, w := range p.Audited.Witnesses {
			if !slices.ContainsFunc(p.Published.Witnesses, func(o proofs.PolicyWitness) bool { return o.Key == w.Key }) {
				auditors[w.Name] = true
			}
		}
	}
	if len(auditors) == 0 {
		return nil, errors.New("the audited policy has no auditors: no group " + proofs.AuditorsGroup + ", and no witness beside those of the log's own policy")
	}
	for _, w := range p.Audited.Witnesses {
		if auditors[w.Name] && w.URL == "" {
			return nil, fmt.Errorf("the audited policy has no URL of auditor %s, where it shows what it has audited", w.Name)
		}
	}
	return auditors, nil
}

// asked returns the auditors as they are asked: those with one URL are keys of one.
func (p Policies) asked() ([]*auditor, error) {
	auditors, err := p.auditors()
	if err != nil {
		return nil, err
	}
	var list []*auditor
	for _, w := range p.Audited.Witnesses {
		if !auditors[w.Name] {
			continue
		}
		url := strings.TrimSuffix(w.URL, "/")
		i := slices.IndexFunc(list, func(a *auditor) bool { return a.shown.URL == url })
		if i < 0 {
			i = len(list)
			list = append(list, newAuditor(w.Name, url))
		}
		list[i].keys = append(list[i].keys, w.Key)
	}
	return list, nil
}

// forLog returns p with the log in the audited policy, as publisher.PolicyFor.
func (p Policies) forLog(keys []proofs.Key) (Policies, error) {
	audited, err := publisher.PolicyFor(p.Audited, keys)
	if err != nil {
		return p, fmt.Errorf("audited: %w", err)
	}
	p.Audited = audited
	return p, p.Check()
}
