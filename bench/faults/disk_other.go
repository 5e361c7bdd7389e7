//go:build !linux

package main

import (
	"context"
	"errors"
)

const (
	flushLog  = 1
	flushNone = 2
)

type disk struct{ dir string }

func noDisks() string { return "only Linux has loop-mounted ext4" }

var errNoDisk = errors.New(noDisks())

func (h *harness) newDisk(context.Context, string, int64) (*disk, error) { return nil, errNoDisk }
func (d *disk) mount(context.Context) error                              { return errNoDisk }
func (d *disk) unmount(context.Context) error                            { return errNoDisk }
func (d *disk) remove() error                                            { return errNoDisk }
func (d *disk) cut(int) error                                            { return errNoDisk }
