//go:build !windows

package main

import "syscall"

// noTerminal takes the controlling terminal away, which a developer's shell has.
func noTerminal() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
