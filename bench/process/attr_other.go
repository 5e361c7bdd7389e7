//go:build !linux

package process

import "syscall"

// ChildAttr would have a child die with us; here the system does not offer that.
func ChildAttr() *syscall.SysProcAttr { return nil }
