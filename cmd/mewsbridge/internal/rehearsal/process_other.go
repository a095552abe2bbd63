//go:build !linux

package rehearsal

import (
	"errors"
	"syscall"
)

func attributes() *syscall.SysProcAttr { return nil }

func fillable() []Setup { return []Setup{Single} }

func (p *process) limitFiles(uint64) (func() error, error) {
	return nil, errors.New("files of another process can be limited on Linux only")
}
