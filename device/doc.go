// Package device has a device's stored files and repositories: the two sources of
// package verify's workflow, and downloads. Most callers need
//
//   - [Device], which updates a metadata directory from a repository over HTTP and downloads
//     targets, and
//   - [OpenFolder], which reads a copy of a repository in a folder.
//
// A [Store] is the metadata directory; its Create makes one. Package verify decides
// which files to trust; this one only reads and writes them.
package device
