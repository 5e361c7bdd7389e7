//go:build !unix

package main

// shareLock does nothing where files have no owner and group.
func (s store) shareLock() {}
