package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// A mirror in the demo is always free to serve what it likes; what differs is
// which of the vendor's keys it has. Each attack below is served to a copy of the
// device as it was after installing release 2.1.

// attack goes through everything that a device must refuse.
func (s *story) attack(ctx context.Context) error {
	for _, a := range []struct {
		who, what string
		code      verify.Code
		target    string
		prepare   func(context.Context) (files, error)
	}{
		{"thief", "has all keys but root's; signs firmware 6.6 in secret", verify.CodeNotLogged, firmware, s.neverLogged},
		{"mirror", "serves firmware 2.2 with a proof that one witness of three cosigned", verify.CodeQuorumShort, firmware, s.tooFewCosignatures},
		{"thief", "serves the second targets 7 with the proof of that evidence", verify.CodeEvidence, firmware, s.secondPayload},
		{"mirror", "serves firmware 2.2 with a proof of vendor 2's", verify.CodeWrongRepository, firmware, s.otherRepository},
		{"thief", "signs a snapshot that lists music 2 as maps 2: both teams share a key", verify.CodeBadProof, mapsFile, s.passedOff},
	} {
		if a.code == verify.CodeEvidence {
			if err := s.equivocate(ctx); err != nil {
				return err
			}
		}
		step := s.t.step(a.who, "%s", a.what)
		metadata, err := a.prepare(ctx)
		if err != nil {
			return err
		}
		offered, victim, err := s.refuses(ctx, step, a.code, a.target, metadata)
		if err != nil {
			return fmt.Errorf("%s %s: %w", a.who, a.what, err)
		}
		if a.code == verify.CodeNotLogged {
			s.offered = offered
			if err := s.consume(ctx, offered, victim); err != nil {
				return err
			}
			if err := s.servesVictims(ctx, metadata); err != nil {
				return err
			}
		}
	}
	return s.rollBack(ctx)
}

// refuses serves metadata to a device in the state that it had after install, and returns
// the site and the device.
func (s *story) refuses(ctx context.Context, step *step, code verify.Code, target string, metadata files) (site, *device, error) {
	s.attacks++
	name := fmt.Sprintf("attack-%d-%s", s.attacks, code)
	bad, err := s.mirror.publish(name, metadata, s.vendor.TargetFiles())
	if err != nil {
		return bad, nil, err
	}
	victim, err := s.device.like(filepath.Join(s.dir, "devices", name))
	if err != nil {
		return bad, nil, err
	}
	reason, err := victim.isRefused(ctx, bad, target, code)
	if err != nil {
		return bad, nil, err
	}
	step.refused(string(code), reason, 2)
	return bad, victim, nil
}

// neverLogged is a validly signed release without a proof.
func (s *story) neverLogged(context.Context) (files, error) {
	thief, err := s.vendor.twin("")
	if err != nil {
		return nil, err
	}
	if err := putAndRelease(thief.Vendor, "6.6"); err != nil {
		return nil, err
	}
	s.stolen = thief.TargetFiles()[firmware]
	return overlay(s.newest, thief.Files()), nil
}

// tooFewCosignatures is the newest release; of the cosignatures in its proof only
// the first is left.
func (s *story) tooFewCosignatures(context.Context) (files, error) {
	name := sidecarName(tuf.RoleTargets, s.vendor.Version(tuf.RoleTargets))
	p, err := proofs.ParseProof(s.newest[name])
	if err != nil {
		return nil, err
	}
	note, err := proofs.ParseNote(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	var kept []proofs.Signature
	cosignatures := 0
	for _, sig := range note.Signatures {
		if sig.Name != origin {
			if cosignatures++; cosignatures > 1 {
				continue
			}
		}
		kept = append(kept, sig)
	}
	if cosignatures < quorum {
		return nil, fmt.Errorf("the proof %s has %d cosignatures, expected at least %d", name, cosignatures, quorum)
	}
	note.Signatures = kept
	p.Checkpoint = note.Marshal()
	return overlay(s.newest, files{name: p.Marshal()}), nil
}

// equivocate signs a second payload for a logged version, and submits it: the log
// keeps it as evidence.
func (s *story) equivocate(ctx context.Context) error {
	step := s.t.step("thief", "signs another targets 7 for some victims; one of them submits it")
	since := time.Now()
	twin := s.atInstall
	if err := twin.Put(tuf.RoleTargets, firmware, content(firmware, "2.2 with a back door")); err != nil {
		return err
	}
	if err := twin.Release(tuf.RoleTargets); err != nil {
		return err
	}
	name, _ := twin.File(tuf.RoleTargets)
	if err := twin.write(); err != nil {
		return err
	}
	r, err := s.w.submit(ctx, 1, twin.dir)
	if err != nil {
		return err
	}
	v, err := verdictOn(r, name)
	if err != nil {
		return err
	}
	if v.Status != api.StatusEvidence {
		return fmt.Errorf("the log's verdict on %s is %q %s (%s), expected %q", name, v.Status, v.Code, v.Detail, api.StatusEvidence)
	}
	log := &api.Client{Base: s.w.log.url}
	if s.evidenceProof, err = log.EntryProof(ctx, v.Index); err != nil {
		return err
	}
	proof, err := proofs.ParseProof(s.evidenceProof)
	if err != nil {
		return err
	}
	entry, err := leaf.Parse(proof.Extra)
	if err != nil {
		return err
	}
	if entry.Kind != leaf.Evidence {
		return fmt.Errorf("entry %d is a leaf of kind %q, expected %q", v.Index, entry.Kind, leaf.Evidence)
	}
	s.evidence = v.Index
	step.below("EVIDENCE: entry %d proves forever that the keys signed this and entry %d", v.Index, entry.Contradicts)
	return s.alerts(ctx, 2, "second-payload", since)
}

// secondPayload is the second payload beside its own proof.
func (s *story) secondPayload(context.Context) (files, error) {
	name := sidecarName(tuf.RoleTargets, s.atInstall.Version(tuf.RoleTargets))
	return overlay(s.newest, s.atInstall.Files(), files{name: s.evidenceProof}), nil
}

// otherRepository is the newest release beside a proof of the second vendor's.
func (s *story) otherRepository(context.Context) (files, error) {
	theirs, err := s.other.published()
	if err != nil {
		return nil, err
	}
	proof := theirs[sidecarName(tuf.RoleTargets, s.other.Version(tuf.RoleTargets))]
	return overlay(s.newest, files{sidecarName(tuf.RoleTargets, s.vendor.Version(tuf.RoleTargets)): proof}), nil
}

// passedOff is one role's file as another's, with the proof that it has.
func (s *story) passedOff(context.Context) (files, error) {
	thief, err := s.vendor.twin("")
	if err != nil {
		return nil, err
	}
	if err := thief.PassOff(musicRole, mapsRole); err != nil {
		return nil, err
	}
	version := thief.Version(mapsRole)
	return overlay(s.newest, thief.Files(), files{
		sidecarName(mapsRole, version): s.newest[sidecarName(musicRole, version)],
	}), nil
}

// rollBack updates the device, and then serves it what was current before.
func (s *story) rollBack(ctx context.Context) error {
	step := s.t.step("device", "updates to firmware 2.2 from an honest mirror")
	honest, err := s.mirror.publish("honest-2.2", s.newest, s.vendor.TargetFiles())
	if err != nil {
		return err
	}
	if _, err := s.device.installs(ctx, honest, firmware, s.vendor.TargetFiles()[firmware]); err != nil {
		return err
	}
	step.outcome("installed")
	step = s.t.step("mirror", "serves release 2.1 again, proofs and all")
	_, _, err = s.refuses(ctx, step, verify.CodeRollback, firmware, maps.Clone(s.before))
	return err
}
