package main

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"mewsbridge/schema/seal"
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
			value, err := decoder.ReadValue()
			if err != nil {
				return nil, errors.New("the message is not JSON")
			}
			if err := encoder.WriteValue(maskOf(value)); err != nil {
				return nil, errors.New("the message is not JSON")
			}
		}
	}
}

// maskOf returns what is shown in place of value: of a box, the key that opens it.
func maskOf(value jsontext.Value) jsontext.Value {
	if text, err := jsontext.AppendUnquote(nil, value); err == nil {
		if key, ok := seal.Recipient(string(text)); ok {
			return jsontext.Value(`"` + key + `.***"`)
		}
	}
	return jsontext.Value(masked)
}

// isSecret knows the members of Integration webhooks that are credentials or personal data, in the clear or sealed.
func isSecret(name string) bool {
	return name == seal.Member || name == seal.BodyMember || strings.EqualFold(name, "AccessToken") || strings.EqualFold(name, "ApiKey") || strings.EqualFold(name, "Requestor")
}
