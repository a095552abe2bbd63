package schema

// MaxToken is the greatest length of a subject token, in bytes.
const MaxToken = 128

// placeholder stands in a subject for an id that is missing or is not a token.
const placeholder = "_"

// IsToken reports whether s can stand in a subject as it is: 1 to MaxToken bytes of [A-Za-z0-9_-]. It is an
// allowlist rather than an escaping, so that a consumer can write a filter from an id without knowing a rule.
func IsToken[T ~string | ~[]byte](s T) bool {
	if len(s) == 0 || len(s) > MaxToken {
		return false
	}
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return true
}

func isTokenByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_'
}

// tokenOr returns s when it is a token, otherwise the placeholder.
func tokenOr(s string) string {
	if IsToken(s) {
		return s
	}
	return placeholder
}
