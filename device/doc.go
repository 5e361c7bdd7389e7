// Package device has a device's stored files and repositories: the two sources of
// package verify's workflow, and downloads. Most callers need
//
//   - [Device], which updates a metadata directory from a repository over HTTP and downloads
//     targets, and
//   - [OpenFolder], which reads a copy of a repository in a folder.
//
// The first run makes the metadata directory, from the root that the device was given:
//
//	store := device.Store{Dir: "/var/lib/firmware"}
//	err := os.MkdirAll(store.Dir, 0o755)
//	unlock, err := store.Lock(ctx, "my-updater", time.Minute) // for every run; the name is for those who wait
//	defer unlock()                                            // after the last use of the device and of its client
//	state, err := verify.Pin(root, install)
//	err = store.Create(root, state)
//
// Every run takes the lock, updates it and then downloads. Refresh stores the state, also where it returns
// an error; a target that was not downloaded says why in its Err, and not in the error of
// Download:
//
//	d := device.Device{Store: store, Origin: &device.Repository{
//		URL: "https://updates.example/metadata/", TargetsURL: "https://updates.example/targets/",
//	}}
//	_, err = d.Refresh(ctx, verify.Config{Policy: policy, Install: install, Now: time.Now()})
//	targets, err := d.Download(ctx, []string{"firmware.bin"}, "/var/lib/firmware/targets")
//
// While a newer release waits, for its age or for the owner, Refresh returns that refusal; if
// its Client is Standing then, Download has the targets of the release that the device has
// accepted before.
//
// A [Folder] or a bundle (package device/bundle) is an [Origin] as well, for devices without
// a network.
//
// The policy comes from proofs.ParsePolicy, and install from verify.ParseInstallPolicy or
// verify.DefaultInstallPolicy. Package verify decides which files to trust; this one only
// reads and writes them.
package device
