//go:build !linux

package rehearsal

import "syscall"

func ChildAttr() *syscall.SysProcAttr { return nil }
