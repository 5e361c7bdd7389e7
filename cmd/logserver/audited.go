package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/audited"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// openAudited puts into cfg what keeps audited checkpoints, if an audited policy is given. It
// refuses a policy of the log that needs an auditor in any case.
func (r *reloader) openAudited(ctx context.Context, keys []proofs.Key, cfg *httpd.Config, m *metrics.Metrics) (err error) {
	r.origin = keys[0].Name()
	if r.policies, err = r.readPolicies(ctx, r.now.Policy); err != nil {
		return err
	}
	if r.policies.Audited == nil {
		_ = os.Remove(r.flags.auditors()) // of a process before, which asked auditors
		return nil
	}
	r.keeper, err = audited.Open(audited.Config{
		Policies: r.policies, Keys: keys, Path: r.flags.audited(), HealthPath: r.flags.auditors(), Logger: r.logger,
	})
	if err != nil {
		return err
	}
	cfg.Audited = r.keeper
	m.WatchAudited(r.keeper.Health)
	return nil
}

// readPolicies reads the audited policy that goes with the log's own, if one is given, and
// returns an error if the log's own needs an auditor.
func (r *reloader) readPolicies(ctx context.Context, own *proofs.Policy) (p audited.Policies, err error) {
	p.Published = own
	if r.flags.auditedPolicy != "" {
		if p.Audited, err = cli.ReadPolicyOf("audited-policy", r.flags.auditedPolicy); err != nil {
			return p, err
		}
		if err := checkURLs("--audited-policy", p.Audited); err != nil {
			return p, err
		}
		if err := p.Check(); err != nil {
			return p, fmt.Errorf("--audited-policy: %w", err)
		}
	}
	return p, refuseAuditors(ctx, p, r.origin)
}

// refuseAuditors returns an error if the policy by which the log with an origin publishes
// needs an auditor, as the policies say or an auditor itself.
func refuseAuditors(ctx context.Context, p audited.Policies, origin string) error {
	found := findAuditors(ctx, p.Published, origin)
	if err := p.CheckPublished(func(key proofs.Key) bool { return found[key] }); err != nil {
		return fmt.Errorf("--policy: %w", err)
	}
	return nil
}

// findFor is how long each witness is given to say that it is an auditor. One that does not
// answer is none as far as is known: the log starts during an outage.
const findFor = 2 * time.Second

// findAuditors asks the witnesses of a policy at once whether they are auditors, and returns
// the keys of those that are.
func findAuditors(ctx context.Context, policy *proofs.Policy, origin string) map[proofs.Key]bool {
	ctx, cancel := context.WithTimeout(ctx, findFor)
	defer cancel()
	keys := map[string][]proofs.Key{}
	for _, w := range policy.Witnesses {
		if w.URL != "" {
			url := strings.TrimSuffix(w.URL, "/")
			keys[url] = append(keys[url], w.Key)
		}
	}
	found := map[proofs.Key]bool{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for url, of := range keys {
		asking.Go(func() {
			if is, err := client.IsAuditor(ctx, nil, url, origin); err != nil || !is {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, key := range of {
				found[key] = true
			}
		})
	}
	asking.Wait()
	return found
}

// checkURLs checks the URLs of a policy's witnesses.
func checkURLs(flag string, policy *proofs.Policy) error {
	for _, w := range policy.Witnesses {
		if err := cli.CheckURL(w.URL); w.URL != "" && err != nil {
			return fmt.Errorf("%s: witness %s: %w", flag, w.Name, err)
		}
	}
	return nil
}
