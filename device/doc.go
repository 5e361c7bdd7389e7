// Package device is what a device keeps and where it fetches from: the two sources of
// package verify's workflow, and downloads. Most callers need
//
//   - [Device], which updates a metadata directory from a repository over HTTP and downloads
//     targets, and
//   - [OpenFolder], which has the files of a repository that was carried there.
//
// A [Store] is the metadata directory; its Create makes one. Package verify decides what
// is trusted; this one only reads and writes.
package device
