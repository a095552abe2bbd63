package rehearsal

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes keep a Ctrl-C of the terminal from the process, and have it end when the rehearsal is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// fillable are the setups whose disk can be full.
func fillable() []Setup { return []Setup{Embedded, Single} }

// limitFiles keeps the process from writing beyond size bytes in any file, which is to it as a full disk; free undoes it.
func (p *process) limitFiles(size uint64) (free func() error, err error) {
	var before unix.Rlimit
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_FSIZE, nil, &before); err != nil {
		return nil, fmt.Errorf("read file size limit of %s: %w", p.name, err)
	}
	if err := unix.Prlimit(p.pid(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: before.Max}, nil); err != nil {
		return nil, fmt.Errorf("limit file size of %s: %w", p.name, err)
	}
	return func() error { return unix.Prlimit(p.pid(), unix.RLIMIT_FSIZE, &before, nil) }, nil
}
