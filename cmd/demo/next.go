package main

import (
	"path/filepath"
)

// next prints where everything is and what to try.
func (o options) next(t *transcript, s *story) {
	w := s.w
	run := func(program string, args ...string) string {
		return shell(append([]string{w.p.path(program)}, args...))
	}
	t.say("\nStill running; try in another terminal, and Ctrl-C here to end:\n")
	say := func(what, command string) {
		t.say("  # %s\n  %s", what, command)
	}
	t.say("  # what the monitor knows, as pages for a browser: timelines, releases, findings, a search, and verification of\n  # a file that you drop there\n  %s/\n", s.monitor.service.url)
	say("what the monitor has told", "less "+shell([]string{s.monitor.alerts}))
	say("the checkpoint that the log signed and the witnesses cosigned", "curl "+w.log.url+"/checkpoint")
	say("the server's table of repositories", "curl "+w.log.url+"/v1/repositories")
	if w.on != nil {
		say("the leader, and the size of the log", run("logserver", append([]string{"status", "--dir", w.logDir}, w.shared()...)...))
	}
	say("replay the log from entry 0", run("auditor", w.auditor("replay")...))
	if s.vendor != nil {
		say("the releases of the demo's vendor over time", run("auditor", w.auditor("show", s.repository[:12])...))
		say("which releases list the file that the device installed", run("auditor", w.auditor("lookup", s.installed)...))
		say("what the thief's release would change on that device, offline", run("auditor", "diff", s.device.metadata(), s.offered.dir))
		say("who could replace a file after it", run("auditor", "radius", "--dir", s.offered.dir, "--before", s.device.metadata()))
		say("what the vendor's and the thief's mirror serve, against what is logged", run("auditor", w.auditor("compare", s.mirror.url+"/honest-2.2/metadata/", s.offered.dir)...))
		say("whether the device and a witness saw the log's one history", run("auditor", w.auditor("gossip", s.device.metadata()+"/targets.json.tlog-proof", w.witnesses[0].url)...))
		say("submit the vendor's folder again: nothing new", run("publisher", w.publisher("submit", s.vendor.dir)...))
		say("check metadata and proofs offline", run("updater", "verify", "--policy", w.policy, s.vendor.dir))
		say("update the device", run("updater", "download", "--policy", w.policy, "--metadata-dir", s.device.metadata(),
			"--metadata-url", s.mirror.url+"/honest-2.2/metadata/", "--target-name", firmware,
			"--target-base-url", s.mirror.url+"/honest-2.2/targets/", "--target-dir", filepath.Join(s.device.dir, "installed")))
		say("which timestamp a gate has signed", run("auditor", "gate", "status", s.gated.gates[0].url))
		say("have the gates sign the vendor's timestamp again: nothing is lacking", run("publisher", s.gated.publisher(s.vendor.dir)...))
		say("update the client that knows no log", shell([]string{"cd", s.gated.stock.dir})+" && "+run(stockClient, s.gated.stock.get(s.gated.site, firmware)...))
	} else {
		say("the releases over time", run("auditor", w.auditor("show")...))
		say("import again: everything has its entry already", run("publisher", w.publisher("import", o.history[0])...))
	}
	say("every command that the demo ran, with its output", "less "+shell([]string{filepath.Join(w.p.logs, "commands.txt")}))
	t.say("")
}
