package rehearsal

import "syscall"

// attributes keep a Ctrl-C of the terminal from the process, and have it end when the rehearsal is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
