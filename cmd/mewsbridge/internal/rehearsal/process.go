package rehearsal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// endTimeout bounds how long a process may take to stop in order: the bridge gives itself 10 s.
const endTimeout = 20 * time.Second

// logName is the file in a process's folder that holds what it writes.
const logName = "log"

// process is one run of the binary. What it writes is appended to a file.
type process struct {
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error       // of Wait; read it after ended
	meant atomic.Bool // its end is our doing
}

// startProcess runs the binary with only the environment given. onEnd is told of an end that is not our doing.
func startProcess(name, binary, dir, logFile string, env, args []string, onEnd func(error)) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	p := &process{name: name, cmd: exec.Command(binary, args...), ended: make(chan struct{})}
	// By way of a pipe: the process may be kept from writing files.
	output := struct{ io.Writer }{log}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, output, output
	p.cmd.Env = append([]string{"HOME=" + dir, "TMPDIR=" + os.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	p.cmd.SysProcAttr = attributes()
	if err := p.cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.ended)
		if !p.meant.Load() {
			onEnd(fmt.Errorf("%s ended by itself: %w", name, errors.Join(p.err, fmt.Errorf("see %s", logFile))))
		}
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the process at once and waits for it. It may have ended already.
func (p *process) kill() {
	p.meant.Store(true)
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.ended
}

// terminate has the process stop in order; an error says that it did not.
func (p *process) terminate() error {
	p.meant.Store(true)
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	timer := time.NewTimer(endTimeout)
	defer timer.Stop()
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s did not stop in order: %w", p.name, p.err)
		}
		return nil
	case <-timer.C:
		p.kill()
		return fmt.Errorf("%s did not stop within %v of SIGTERM", p.name, endTimeout)
	}
}
