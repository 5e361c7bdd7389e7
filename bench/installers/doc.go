// Package installers tests the recipes in deploy/rauc and deploy/swupdate as docs/installers.md
// gives them: the real rauc and swupdate install an image that is in a log, and refuse others. The
// log, its witnesses and the vendor's publisher are real programs too. The tests are skipped where
// the installers are missing, and those of RAUC also where squashfs cannot be mounted. Begin with
// TestRAUC.
package installers
