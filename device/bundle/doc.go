// Package bundle has updates in one file, for a USB stick or a phone: roots, metadata,
// proofs and targets. Most callers need
//
//   - [Open], which opens such a file as the [device.Origin] of a device that is updated from
//     it, and
//   - [Create], which writes one of what a device would fetch from a repository.
//
// A device is updated from a bundle as from a repository over HTTP:
//
//	b, err := bundle.Open("/media/stick/update.bundle")
//	defer b.Close()
//	d := device.Device{Store: store, Origin: b}
//
// Nothing in a bundle is trusted, and nothing of it becomes the name of a file: a device asks
// for what its verified metadata lists, as it asks a mirror. [Try] is an update of which
// nothing is kept, and [Renew] writes a bundle again with the newest proofs of its log. The
// format is in docs/formats.md, "Bundle".
package bundle
