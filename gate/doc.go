// Package gate signs the timestamps of repositories whose releases are logged, so that TUF
// clients that know no log refuse what is not. Most callers need
//
//   - [New], which opens a gate by its [Config], and
//   - [Gate.Handler], which answers vendors and other gates over HTTP.
//
// A vendor's root names the vendor's key and those of n gates for the timestamp, with a
// threshold of 1 + k. A gate is a device with a signing key: it runs the device's workflow
// (verify.Refresh) over the staged repository and signs if a device would accept all of it.
// An unlogged release then lacks k signatures, which every TUF client notices. docs/gate.md
// says what that takes, and what it cannot do.
//
// A gate never signs two contents of a timestamp under one version, nor a version below the
// one that it signed last: what it signs is durable before it answers. After a start, which
// may follow a restore of an older copy of its directory, it first asks the other gates and
// looks at the timestamp that is served.
//
// Package gate/client asks gates.
package gate
