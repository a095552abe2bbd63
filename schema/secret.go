package schema

import "fmt"

// redacted stands for what is not printed.
const redacted = "[secret]"

// Secret is a credential or personal data of an integration event. fmt, log/slog, zap and encoding/json all show "[secret]" in
// its place, also when it is deep inside another value: only Reveal gives it away. The zero value is an empty one.
type Secret struct {
	text *string // a pointer, because fmt prints a nested pointer as an address even where it cannot call String
}

// NewSecret returns a Secret that reveals text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the text itself; empty when Mews did not send it, or when it is sealed.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is nothing to reveal.
func (s Secret) IsZero() bool { return s.text == nil }

// String returns a placeholder.
func (Secret) String() string { return redacted }

// GoString returns a placeholder.
func (Secret) GoString() string { return redacted }

// Format writes a placeholder for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalText returns a placeholder.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Raw is JSON as it was published. It may hold credentials or personal data, so that it is printed as its length; only Bytes
// gives it away. The zero value is none.
type Raw struct {
	text *string // as in Secret; fmt would print the bytes that a pointer to a slice leads to
}

func newRaw(text []byte) Raw {
	if text == nil {
		return Raw{}
	}
	s := string(text)
	return Raw{&s}
}

// Bytes returns a copy of the JSON, or nil.
func (r Raw) Bytes() []byte {
	if r.text == nil {
		return nil
	}
	return []byte(*r.text)
}

// IsZero reports whether there is no JSON.
func (r Raw) IsZero() bool { return r.text == nil }

// String returns a placeholder that says how much there is.
func (r Raw) String() string {
	if r.text == nil {
		return "[0 bytes]"
	}
	return fmt.Sprintf("[%d bytes]", len(*r.text))
}

// GoString returns the same placeholder.
func (r Raw) GoString() string { return r.String() }

// Format writes the same placeholder for every verb.
func (r Raw) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// MarshalText returns the same placeholder.
func (r Raw) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
