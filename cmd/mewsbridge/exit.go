package main

// Exit codes. The numbers above 1 are those of BSD's sysexits.
const (
	exitOK          = 0
	exitVerdict     = 1  // the command ran, and what it looked at is not as it should be
	exitUsage       = 64 // unknown command or flag, or a value that makes no sense
	exitUnavailable = 69 // NATS cannot be reached
	exitInternal    = 70
	exitConfig      = 78 // the configuration is not valid
)

// exitError is an error that says with which code the process ends.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// withCode has the process end with code because of err.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}
