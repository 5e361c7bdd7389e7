package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// sensors is a vendor of microcontrollers that take bundles of Pigweed's, and a gateway that
// judges the bundles for them.
type sensors struct {
	w    *world
	dir  string
	key  testpigweed.Key // of targets
	root []byte          // SignedRootMetadata 1
}

func (w *world) newSensors(dir string) (*sensors, error) {
	offline, err := testpigweed.NewKey()
	if err != nil {
		return nil, err
	}
	key, err := testpigweed.NewKey()
	if err != nil {
		return nil, err
	}
	root, err := testpigweed.Root{Version: 1, Root: []testpigweed.Key{offline}, Targets: []testpigweed.Key{key}}.Sign(offline)
	if err != nil {
		return nil, err
	}
	s := &sensors{w, dir, key, root}
	return s, writeFiles(s.gateway(), files{"root.pb": root})
}

func (s *sensors) gateway() string { return filepath.Join(s.dir, "gateway") }

func (s *sensors) path(name string) string { return filepath.Join(s.dir, name) }

// signs makes a bundle of a version.
func (s *sensors) signs(name string, version uint32, image string) error {
	images := files{"application": []byte(image)}
	targets, err := testpigweed.Targets(version, images, s.key)
	if err != nil {
		return err
	}
	return writeFiles(s.dir, files{name: testpigweed.Bundle(s.root, targets, images)})
}

// logs submits a bundle, which writes it with its proofs. It returns what was said of the
// targets metadata.
func (s *sensors) logs(ctx context.Context, wantCode int, name string) ([]string, error) {
	r, err := s.w.submit(ctx, wantCode, s.path(name))
	if err != nil {
		return nil, err
	}
	var said []string
	for _, v := range r.Files {
		if v.Role == tuf.RoleTargets || v.Status == api.StatusReleased {
			said = append(said, fmt.Sprintf("%s %d is %s, entry %d", v.Role, v.Version, v.Status, v.Index))
		}
	}
	return said, nil
}

// judges has the gateway judge a bundle. refused is the code of a refusal, with the reason;
// empty: it has passed.
func (s *sensors) judges(ctx context.Context, name string) (code verify.Code, why string, err error) {
	o, err := s.w.p.run(ctx, "updater", "pigweed", "verify", "--json", "--policy", s.w.policy, "--state", s.gateway(), s.path(name))
	if err != nil {
		return "", "", err
	}
	var u updated
	if err := json.Unmarshal([]byte(o.stdout), &u); err != nil {
		return "", "", fmt.Errorf("%s printed no JSON: %w\n%s", o.command, err, o.stderr)
	}
	switch {
	case o.code == 0 && u.OK:
		return "", "", nil
	case o.code != 1 || u.Refused == nil:
		return "", "", o.unexpected("0 or 1")
	}
	return u.Refused.Code, u.Refused.Role + ": " + u.Refused.Detail, nil
}

// pigweed is the same for microcontrollers: bundles in protobuf, the proofs inside.
func (s *story) pigweed(ctx context.Context) error {
	v, err := s.w.newSensors(filepath.Join(s.dir, "sensors"))
	if err != nil {
		return err
	}
	step := s.t.step("vendor 3", "signs a Pigweed bundle, logs it, and has the proofs put into it (publisher submit)")
	if err := v.signs("release_1.pb", 1, "application 1.0"); err != nil {
		return err
	}
	said, err := v.logs(ctx, 0, "release_1.pb")
	if err != nil {
		return err
	}
	step.below("%s", strings.Join(said, "; "))

	step = s.t.step("gateway", "judges it offline for the sensors behind it (updater pigweed verify)")
	if code, why, err := v.judges(ctx, "release_1.logged.pb"); err != nil || code != "" {
		return fmt.Errorf("the gateway refuses the vendor's bundle: %s %s, %w", code, why, err)
	}
	step.outcome("signed, logged and witnessed")

	// A thief, or the vendor, signs the same version again: Pigweed alone would take it.
	if err := v.signs("again_1.pb", 1, "application 6.6"); err != nil {
		return err
	}
	step = s.t.step("thief", "signs a second bundle of the same version, and serves it")
	code, why, err := v.judges(ctx, "again_1.pb")
	if err != nil {
		return err
	}
	if code != verify.CodeSecondPayload {
		return fmt.Errorf("the gateway says %q of a second payload (%s), want %s", code, why, verify.CodeSecondPayload)
	}
	step.refused(string(code), why, 2)

	step = s.t.step("thief", "submits it to the log, for sensors that do not have the first one yet")
	before, err := s.w.replay(ctx)
	if err != nil {
		return err
	}
	r, err := s.w.submit(ctx, 1, v.path("again_1.pb"))
	if err != nil {
		return err
	}
	verdict, err := verdictOn(r, "again_1.pb:targets")
	if err != nil {
		return err
	}
	if verdict.Status != api.StatusEvidence || verdict.Index != before.Judged {
		return fmt.Errorf("the log's verdict on a second payload is %q, entry %d", verdict.Status, verdict.Index)
	}
	s.pigweedEvidence = verdict.Index
	step.below("EVIDENCE: entry %d proves that the key signed two; the bundle gets no proof", verdict.Index)
	return nil
}
