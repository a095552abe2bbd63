package rehearsal

import "errors"

var errNoSignal = errors.New("a process cannot be frozen on Windows")

func (p *process) freeze() error { return errNoSignal }
func (p *process) thaw() error   { return errNoSignal }
