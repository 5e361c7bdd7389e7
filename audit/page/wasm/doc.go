// Command wasm is package drop in a browser: compiled for GOOS=js GOARCH=wasm, it gives a page
// the object tuflog, with
//
//	tuflog.judge(policy, milliseconds, files, repository, edited, bundle)
//	                                           the verdict on files, as JSON (drop.Verdict)
//	tuflog.bundle(name, beginning, size)       {parts, verdict} of a bundle, as JSON; null: it is none
//	tuflog.hasher()                            {write(Uint8Array), digest()} for one long file
//	tuflog.maxContent                          the bytes up to which a file is given whole
//	tuflog.maxIndex                            the bytes at the beginning that bundle takes at most
//
// A file is {name, content}, with a Uint8Array, or {name, digest}, with what a hasher said.
// Nothing else of the page is touched, and there are no requests. go generate ./audit/page
// builds it.
package main
