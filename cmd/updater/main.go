// Updater is the device's side of tuflog: a TUF client that refuses releases
// which are not logged and witnessed.
//
// Its flags are those of the client protocol of the TUF conformance suite
// (CLIENT-CLI.md of theupdateframework/tuf-conformance). The metadata directory
// is a device.Store. A file is written only after it was verified, and files read from
// there go through the same checks as files from the network.
package main

import "github.com/tuflog/tuflog/internal/cli"

func main() { cli.Main(newCommand) }
