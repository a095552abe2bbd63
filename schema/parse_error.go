package schema

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep jsontext, and encoding/json too, let JSON nest.
const maxDepth = 10000

// ParseError is returned by Parse when a body is not JSON. It never holds bytes of the body, so that it can
// be logged.
type ParseError struct {
	Offset int64  // byte offset of the fault in the body; the body's length when it is cut off or empty
	Reason Reason // one of the reasons that Parse fails with
	Err    error  // io.ErrUnexpectedEOF when the body is cut off or empty, otherwise nil
}

// Error returns the reason and the offset.
func (e *ParseError) Error() string {
	return "parse webhook: " + string(e.Reason) + " at byte " + strconv.FormatInt(e.Offset, 10)
}

// Unwrap returns Err.
func (e *ParseError) Unwrap() error { return e.Err }

// newParseError turns an error of jsontext into one without the text that jsontext quotes from src.
func newParseError(err error, src []byte) *ParseError {
	if pe, ok := errors.AsType[*ParseError](err); ok {
		return pe
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &ParseError{Offset: int64(len(src)), Reason: ReasonNotJSON, Err: io.ErrUnexpectedEOF}
	}
	se, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return &ParseError{Reason: ReasonNotJSON}
	}
	pe := &ParseError{Offset: se.ByteOffset, Reason: ReasonNotJSON}
	if isTooDeep(se, src) {
		pe.Reason = ReasonTooDeep
	}
	return pe
}

// isTooDeep reports whether jsontext gave up at a bracket that opens one level too many. jsontext does not
// export the error; the pointer to the fault has one slash for each level.
func isTooDeep(se *jsontext.SyntacticError, src []byte) bool {
	if se.ByteOffset < 0 || se.ByteOffset >= int64(len(src)) {
		return false
	}
	c := src[se.ByteOffset]
	return (c == '[' || c == '{') && strings.Count(string(se.JSONPointer), "/") >= maxDepth
}

// strictFault says why src, which is JSON by its grammar, fails the strict rules with err.
func strictFault(err error) (reason Reason, offset int64) {
	if se, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset = se.ByteOffset
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return ReasonDuplicateMember, offset
	}
	return ReasonInvalidUTF8, offset
}
