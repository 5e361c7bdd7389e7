package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// story is the generated demo: a vendor's history, a device that installs from
// it, and everything that the device refuses.
type story struct {
	t      *transcript
	w      *world
	mirror *mirror
	dir    string

	vendor     *maker
	other      *maker  // a second vendor in the same log
	repository string  // the vendor's, 64 hex digits
	device     *device // has installed release 2.1
	installed  string  // the file that it installed
	before     files   // the vendor's folder at that time
	atInstall  *maker  // the vendor's keys and past at that time
	newest     files   // the vendor's folder with release 2.2
	stolen     []byte  // the file that the thief released in secret
	offered    site    // what the thief then serves
	honest     site    // what an honest mirror serves after that
	evidence   int64   // the entry that proves the vendor's equivocation

	pigweedEvidence int64 // the same of the vendor of microcontrollers

	audited *audited // what the auditor says of it all

	monitor *watcher
	gated   *gated // the vendor's repository, once gates sign for it

	evidenceProof []byte // of that entry
	attacks       int
}

// files are files by name.
type files = map[string][]byte

// tell runs the whole story.
func (s *story) tell(ctx context.Context) error {
	for _, part := range []struct {
		chapter string
		tell    func(context.Context) error
	}{
		{"A vendor publishes; every release gets a proof beside it", s.publishHistory},
		{"A monitor watches from now on", s.watch},
		{"A device installs logged and witnessed releases", s.install},
		{"The same device refuses everything else", s.attack},
		{"Devices whose policies want more than a proof", s.decide},
		{"Gates: a client that knows no log refuses the same", s.gate},
		{"Pigweed: the same for microcontrollers", s.pigweed},
		{"The log refuses a file passed off as another role's", s.passOffAtLog},
		{"An auditor replays the whole log and trusts no party", s.audit},
	} {
		s.t.chapter(part.chapter)
		if err := part.tell(ctx); err != nil {
			return err
		}
	}
	return nil
}

// publishHistory publishes the vendor's history release by release, and a second
// vendor's first one.
func (s *story) publishHistory(ctx context.Context) error {
	var err error
	if s.vendor, err = newMaker(filepath.Join(s.dir, "vendor"), s.t.start); err != nil {
		return err
	}
	for _, r := range history {
		step := s.t.step("vendor", "%s", r.title)
		if err := r.do(s.vendor.Vendor); err != nil {
			return err
		}
		fresh, report, err := s.w.released(ctx, s.vendor)
		if err != nil {
			return err
		}
		s.repository = report.Repositories[0]
		step.outcome("%s", entries(fresh))
	}
	step := s.t.step("vendor 2", "opens a repository in the same log")
	if s.other, err = newMaker(filepath.Join(s.dir, "vendor-2"), s.t.start); err != nil {
		return err
	}
	fresh, report, err := s.w.released(ctx, s.other)
	if err != nil {
		return err
	}
	if report.Repositories[0] == s.repository {
		return fmt.Errorf("the log keeps two vendors in one repository, %s", s.repository)
	}
	step.outcome("%s", entries(fresh))
	return nil
}

// install has a new device install the newest release and a delegated file.
func (s *story) install(ctx context.Context) error {
	step := s.t.step("device", "knows only root 1; downloads %s and %s", firmware, mapsFile)
	var err error
	if s.device, err = s.w.newDevice(ctx, filepath.Join(s.dir, "device"), s.vendor.Files()["1.root.json"]); err != nil {
		return err
	}
	if s.before, err = s.vendor.published(); err != nil {
		return err
	}
	if s.atInstall, err = s.vendor.twin(filepath.Join(s.dir, "twin")); err != nil {
		return err
	}
	honest, err := s.mirror.publish("honest-2.1", s.before, s.vendor.TargetFiles())
	if err != nil {
		return err
	}
	if _, err := s.device.installs(ctx, honest, mapsFile, s.vendor.TargetFiles()[mapsFile]); err != nil {
		return err
	}
	u, err := s.device.installs(ctx, honest, firmware, s.vendor.TargetFiles()[firmware])
	if err != nil {
		return err
	}
	s.installed = u.target()
	targets, err := u.role(tuf.RoleTargets)
	if err != nil {
		return err
	}
	step.below("installed both; targets %d is entry %d of the log, cosigned by %s", targets.Version, targets.Index, strings.Join(targets.Witnesses, " and "))

	step = s.t.step("vendor", "releases firmware 2.2")
	if err := putAndRelease(s.vendor.Vendor, "2.2"); err != nil {
		return err
	}
	fresh, _, err := s.w.released(ctx, s.vendor)
	if err != nil {
		return err
	}
	step.outcome("%s", entries(fresh))
	if s.newest, err = s.vendor.published(); err != nil {
		return err
	}
	step = s.t.step("anyone", "checks the vendor's folder offline, with the policy alone")
	if _, err := s.w.p.must(ctx, "updater", "verify", "--policy", s.w.policy, s.vendor.dir); err != nil {
		return err
	}
	step.outcome("all signed, logged and witnessed")
	return nil
}

// passOffAtLog submits files as another role's. JSON targets metadata does not
// name its own role, and the two teams' roles share a key: only a snapshot says
// whose a file is.
func (s *story) passOffAtLog(ctx context.Context) error {
	dir := filepath.Join(s.dir, "passed-off")
	ahead, err := s.vendor.twin(dir)
	if err != nil {
		return err
	}
	if err := ahead.Put(musicRole, musicFile, content(musicFile, "3")); err != nil {
		return err
	}
	if err := ahead.Release(musicRole); err != nil {
		return err
	}
	_, music3 := ahead.File(musicRole)
	snapshotName, snapshot := s.vendor.File(tuf.RoleSnapshot)
	const passedOff = "3.maps.json"
	if err := writeFiles(dir, files{passedOff: music3, snapshotName: snapshot}); err != nil {
		return err
	}
	step := s.t.step("outsider", "submits music 3, not logged yet, as maps 3 beside the vendor's snapshot")
	r, err := s.w.submit(ctx, 1, "--repository", s.repository, filepath.Join(dir, passedOff), filepath.Join(dir, snapshotName))
	if err != nil {
		return err
	}
	v, err := refusedBy(r, passedOff, api.CodeSnapshotNeeded)
	if err != nil {
		return err
	}
	step.refused(v.Code, v.Detail, 1)
	return nil
}
