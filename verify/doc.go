// Package verify is a device's side: bytes in, verdict out. Most callers need
//
//   - [Refresh], the whole TUF client workflow with a question in front of everything that
//     becomes trusted: is it logged and witnessed? And
//   - [CheckSidecar], that question alone, about one file and the proof beside it.
//
// An update of a device begins with its [State], which [Pin] made from the root that the
// device was given, and goes by the trust policy of package proofs, which says which logs
// and witnesses are believed, and an [InstallPolicy], which says what is asked of a
// release beyond a valid proof:
//
//	c, err := verify.Refresh(ctx, verify.Config{Policy: policy, Install: install, Now: now}, state, source)
//	if c != nil {
//		state = c.State() // to be stored, whatever the error
//	}
//	found, err := c.Locate(ctx, "firmware.bin") // in targets and delegated roles
//	// Now c.State() is to be stored again: no power cut may make the device forget a
//	// release that it uses.
//	check, err := verify.NewTargetCheck(*found.Target)
//	io.Copy(check, file) // from the targets' URL and found.Name
//	err = check.Done() // nil: it may be installed
//
// The package itself does no input or output, and never asks for the time. Its files come
// from a [Source], which has three methods:
//
//	Kept(ctx, role)     returns the file that the device keeps of a role, and its Sidecars
//	Fetch(ctx, request) returns request.URLName() of the repository, or fs.ErrNotExist
//	Keep(ctx, accepted) keeps accepted.Metadata.File and accepted.Sidecars of accepted.Role
//
// Package device has two, for HTTP and for folders. Nothing that a source returns is
// believed. A file that is not accepted is a [Refusal] with a code; an outage is always
// [CodeNetwork]. None of the rules by which a log admits what it is sent is here: those
// are package admit's.
package verify
