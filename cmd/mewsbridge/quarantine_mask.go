package main

import (
	"bytes"
	"regexp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"mewsbridge/schema"
)

// maskChar stands for each byte that is not shown.
const maskChar = '*'

var (
	uuidPattern       = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	identifierPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,39}$`)
	plainPattern      = regexp.MustCompile(`^[ -~]{0,64}$`)
)

// documentedNames are the members of webhooks that Mews documents.
var documentedNames = []string{
	"EnterpriseId", "IntegrationId", "Events", "Discriminator", "Value", "Id", "Entities", "Entity", "ServiceOrders", "Resources",
	"Messages", "ResourceBlocks", "Action", "Data", "Integration", "Enterprise", "Service", "Requestor", "Name", "Email",
	"AccessToken", "ApiKey", "CreatedUtc", "DeletedUtc", "IsEnabled",
}

// maskRaw returns a copy of src, of the same length, in which a star stands for each byte that may belong to a credential or to
// a person. Nobody knows what is in such bytes, so only this is shown: the punctuation of JSON; true, false and null; the names
// of members; ids that are UUIDs; and types. When src is not JSON by its grammar, where a name ends and a value begins is a guess,
// and a name or a type is shown only when Mews documents it.
func maskRaw(src []byte) []byte {
	m := masker{src: src, out: bytes.Clone(src)}
	m.trusted = jsontext.Value(src).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	for m.at < len(src) {
		switch c := src[m.at]; {
		case c == '"':
			m.text()
		case isPunctuation(c):
			if c != ':' && !isSpace(c) {
				m.name = ""
			}
			m.at++
		default:
			m.word()
		}
	}
	return m.out
}

// masker goes through bytes that may or may not be JSON.
type masker struct {
	src, out []byte
	at       int
	trusted  bool   // src is JSON
	name     string // of the member whose value comes next, when it is shown
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func isPunctuation(c byte) bool { return isSpace(c) || bytes.IndexByte([]byte("{}[]:,"), c) >= 0 }

// text masks what begins with a quote, up to the next quote; a line's end closes it too, so that a lost quote does not turn
// all that follows inside out.
func (m *masker) text() {
	start, end := m.at+1, m.at+1
	for end < len(m.src) && m.src[end] != '"' && m.src[end] != '\n' {
		if m.src[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end, len(m.src))
	content, closed := m.src[start:end], end < len(m.src) && m.src[end] == '"'
	m.at = end
	if closed {
		m.at++
	}
	switch isName := closed && m.followedByColon(); {
	case isName && m.showsName(content):
		m.name = string(content)
		return
	case !isName && closed && m.showsValue(content):
	default:
		m.hide(start, end)
	}
	m.name = ""
}

func (m *masker) followedByColon() bool {
	rest := bytes.TrimLeft(m.src[m.at:], " \t\r\n")
	return len(rest) > 0 && rest[0] == ':'
}

func (m *masker) showsName(content []byte) bool {
	return slices.Contains(documentedNames, string(content)) || m.trusted && identifierPattern.Match(content)
}

func (m *masker) showsValue(content []byte) bool {
	switch m.name {
	case "Id", "EnterpriseId", "IntegrationId":
		return uuidPattern.Match(content)
	case "Discriminator":
		return m.trusted && plainPattern.Match(content) || slices.Contains(schema.KnownDiscriminators(), schema.Discriminator(content))
	case "Action":
		return m.trusted && plainPattern.Match(content) || slices.Contains(schema.KnownActions(), schema.Action(content))
	}
	return false
}

// word masks a run of other bytes, unless it is a literal.
func (m *masker) word() {
	start := m.at
	for m.at < len(m.src) && m.src[m.at] != '"' && !isPunctuation(m.src[m.at]) {
		m.at++
	}
	switch string(m.src[start:m.at]) {
	case "true", "false", "null":
	default:
		m.hide(start, m.at)
	}
	m.name = ""
}

func (m *masker) hide(start, end int) {
	for i := start; i < end; i++ {
		m.out[i] = maskChar
	}
}
