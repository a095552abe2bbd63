//go:build !linux

package rehearsal

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
