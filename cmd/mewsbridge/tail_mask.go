package main

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// masked stands for a value that is not shown.
const masked = `"***"`

// mask returns the JSON of src on one line, with every credential and every requestor replaced.
// An error does not repeat src.
func mask(src []byte, show bool) ([]byte, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(src), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var out bytes.Buffer
	encoder := jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		token, err := decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
		}
		if err != nil {
			return nil, errors.New("the message is not JSON")
		}
		kind, length := decoder.StackIndex(decoder.StackDepth())
		isName := kind == jsontext.KindBeginObject && length%2 == 1 && token.Kind() == jsontext.KindString
		secret := isName && !show && isSecret(token.String())
		if err := encoder.WriteToken(token); err != nil {
			return nil, errors.New("the message is not JSON")
		}
		if secret && decoder.PeekKind() != jsontext.KindNull {
			if err := decoder.SkipValue(); err != nil {
				return nil, errors.New("the message is not JSON")
			}
			if err := encoder.WriteValue(jsontext.Value(masked)); err != nil {
				return nil, errors.New("the message is not JSON")
			}
		}
	}
}

// isSecret knows the members of Integration webhooks that are credentials or personal data.
func isSecret(name string) bool {
	return strings.EqualFold(name, "AccessToken") || strings.EqualFold(name, "ApiKey") || strings.EqualFold(name, "Requestor")
}
