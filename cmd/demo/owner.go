package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// decide shows devices whose policies ask for more than a proof: for time, in which others
// can look at a release, and for an owner's word. They are copies of the device with
// firmware 2.2.
func (s *story) decide(ctx context.Context) error {
	for _, scene := range []func(context.Context) error{s.waitForAge, s.waitForRoot, s.approve, s.carry, s.weaken} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return nil
}

// owned is a copy of the device with an install policy.
func (s *story) owned(name, policy string) (*device, error) {
	d, err := s.device.like(filepath.Join(s.dir, "devices", name))
	if err != nil {
		return nil, err
	}
	d.install = filepath.Join(d.dir, "install.json")
	return d, writeFiles(d.dir, files{"install.json": []byte(policy)})
}

// releases has the vendor release, and an honest mirror serve it as offered.
func (s *story) releases(ctx context.Context, what, as string, change func() error) (err error) {
	step := s.t.step("vendor", "%s", what)
	if err := change(); err != nil {
		return err
	}
	fresh, _, err := s.w.released(ctx, s.vendor)
	if err != nil {
		return err
	}
	step.outcome("%s", entries(fresh))
	metadata, err := s.vendor.published()
	if err != nil {
		return err
	}
	s.honest, err = s.mirror.publish(as, metadata, s.vendor.TargetFiles())
	return err
}

// waits lets a device with a policy meet what the honest mirror serves.
func (s *story) waits(ctx context.Context, d *device, actor, what string, code verify.Code) error {
	step := s.t.step(actor, "%s", what)
	reason, err := d.isRefused(ctx, s.honest, firmware, code)
	if err != nil {
		return err
	}
	step.refused(string(code), reason, 2)
	return nil
}

// waitForAge is a device that gives others time to look at a release.
func (s *story) waitForAge(ctx context.Context) error {
	err := s.releases(ctx, "releases firmware 2.3", "honest-2.3", func() error { return putAndRelease(s.vendor.Vendor, "2.3") })
	if err != nil {
		return err
	}
	d, err := s.owned("patient", `{"min_age": "48h"}`)
	if err != nil {
		return err
	}
	return s.waits(ctx, d, "device 2", "wants releases to have been public for two days, by the witnesses' times", verify.CodeTooYoung)
}

// waitForRoot is a device that gives others time to look at new keys.
func (s *story) waitForRoot(ctx context.Context) error {
	err := s.releases(ctx, "gets a new targets key, releases firmware 2.4", "honest-2.4", func() error {
		if err := s.vendor.Rotate(tuf.RoleTargets); err != nil {
			return err
		}
		return putAndRelease(s.vendor.Vendor, "2.4")
	})
	if err != nil {
		return err
	}
	d, err := s.owned("cautious", `{"root_quarantine": "7d"}`)
	if err != nil {
		return err
	}
	return s.waits(ctx, d, "device 3", "wants roots that give new power to have been public for a week", verify.CodeQuarantined)
}

// approve is a device whose owner looks at what waits before it is installed.
func (s *story) approve(ctx context.Context) error {
	d, err := s.owned("asks", `{"approval": "manual"}`)
	if err != nil {
		return err
	}
	if err := s.waits(ctx, d, "device 4", "installs nothing before its owner has said yes", verify.CodeNeedsApproval); err != nil {
		return err
	}
	step := s.t.step("owner", "asks what waits, and what it would change (updater pending)")
	out, err := s.w.p.must(ctx, "updater", "pending", "--metadata-dir", d.metadata())
	if err != nil {
		return err
	}
	step.folded(out)

	step = s.t.step("owner", "says yes (updater approve)")
	out, err = s.w.p.must(ctx, "updater", "pending", "--json", "--metadata-dir", d.metadata())
	if err != nil {
		return err
	}
	var waiting []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out), &waiting); err != nil {
		return fmt.Errorf("updater pending --json: %w", err)
	}
	args := []string{"approve", "--metadata-dir", d.metadata()}
	for _, w := range waiting {
		args = append(args, w.ID)
	}
	if _, err := s.w.p.must(ctx, "updater", args...); err != nil {
		return err
	}
	if _, err := d.installs(ctx, s.honest, firmware, s.vendor.TargetFiles()[firmware]); err != nil {
		return err
	}
	step.outcome("firmware 2.4 is installed")
	return nil
}

// carry updates a device without a network from one file.
func (s *story) carry(ctx context.Context) error {
	d, err := s.owned("offline", `{}`)
	if err != nil {
		return err
	}
	stick := filepath.Join(d.dir, "update.bundle")
	step := s.t.step("anyone", "puts the update on a stick (updater bundle create)")
	out, err := s.w.p.must(ctx, "updater", "bundle", "create", stick, "--json", "--policy", s.w.policy,
		"--metadata-url", s.honest.metadata, "--target-base-url", s.honest.targets, "--target-name", firmware)
	if err != nil {
		return err
	}
	var made struct {
		Files int `json:"files"`
	}
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		return fmt.Errorf("updater bundle create --json: %w", err)
	}
	step.outcome("%d files in one", made.Files)

	step = s.t.step("device 5", "has no network, and takes it from the stick (updater bundle install)")
	installed := filepath.Join(d.dir, "carried")
	if _, err := s.w.p.must(ctx, "updater", "bundle", "install", stick, "--policy", s.w.policy, "--metadata-dir", d.metadata(), "--target-dir", installed); err != nil {
		return err
	}
	got, err := readFiles(installed)
	if err != nil {
		return err
	}
	if string(got[firmware]) != string(s.vendor.TargetFiles()[firmware]) {
		return fmt.Errorf("the device without a network has %q installed, and not what the vendor released", got[firmware])
	}
	step.outcome("firmware 2.4 is installed")
	return nil
}

// weaken replaces the trust policy of a device by one that a single witness meets.
func (s *story) weaken(ctx context.Context) error {
	d, err := s.owned("weakened", `{}`)
	if err != nil {
		return err
	}
	before := fmt.Sprintf("group witnesses %d ", quorum)
	policy, err := readFiles(filepath.Dir(s.w.policy))
	if err != nil {
		return err
	}
	text := string(policy[filepath.Base(s.w.policy)])
	if !strings.Contains(text, before) {
		return fmt.Errorf("the trust policy has no line %q:\n%s", before, text)
	}
	if err := writeFiles(d.dir, files{"policy.txt": []byte(strings.Replace(text, before, "group witnesses 1 ", 1))}); err != nil {
		return err
	}
	d.policy = filepath.Join(d.dir, "policy.txt")
	return s.waits(ctx, d, "intruder", "makes one witness enough in the trust policy of a device", verify.CodeDowngrade)
}
