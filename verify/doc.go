// Package verify is a device's side: bytes in, verdict out. Most callers need
//
//   - [Refresh], the whole TUF client workflow, which trusts a file only if it is logged
//     and witnessed, and
//   - [CheckSidecar], which checks that for one file and the proof beside it.
//
// An update of a device begins with its [State], which [Pin] made from the root that the
// device was given. It follows a trust policy of package proofs, which names the trusted
// logs and witnesses, and an [InstallPolicy], with further requirements for a release:
//
//	c, err := verify.Refresh(ctx, verify.Config{Policy: policy, Install: install, Now: now}, state, source)
//	if c != nil {
//		state = c.State() // to be stored, also with an error
//	}
//	found, err := c.Locate(ctx, "firmware.bin") // in targets and delegated roles
//	// Now c.State() is to be stored again: no power cut may make the device forget a
//	// release that it uses.
//	check, err := verify.NewTargetCheck(*found.Target)
//	io.Copy(check, file) // from the targets' URL and found.Name
//	err = check.Done() // nil: it may be installed
//
// What the install policy has wait, for its age or for the device's owner, is in the state
// (Waiting); [State.Approve] is the owner's word. [Explain] says in sentences what policies
// promise.
//
// The package itself does no input or output, and never reads a clock. Its files come
// from a [Source], which has three methods:
//
//	Kept(ctx, role)     returns the file that the device keeps of a role, and its Sidecars
//	Fetch(ctx, request) returns request.URLName() of the repository, or fs.ErrNotExist
//	Keep(ctx, accepted) keeps accepted.Metadata.File and accepted.Sidecars of accepted.Role
//
// Package device has them for a metadata directory that is updated over HTTP, from a folder
// or from a bundle, where device.Device is all that is needed. The data of a source is not
// trusted. A file that is not accepted is a [Refusal] with a code; an outage is always
// [CodeNetwork]. The rules of admission to a log are not here, but in package admit.
package verify
