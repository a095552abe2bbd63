package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"mewsbridge/bridge"
	"mewsbridge/schema"
)

// minToken is the fewest characters of a token that is not to be guessed.
const minToken = 16

// namedToken is a live token. The name is public: metrics and the log show it, so that one knows which token Mews uses.
type namedToken struct {
	Name   string
	Secret secret
}

// parseTokens reads tokens, each alone or as name:token. One without a name has that of its place, from 1. The error says all that is
// wrong, and repeats no token.
func parseTokens(texts []string) ([]namedToken, error) {
	var tokens []namedToken
	var wrong []string
	places := map[string]int{}
	for i, text := range texts {
		place := i + 1
		t, err := parseToken(text, place)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("token %d %v", place, err))
			continue
		}
		for _, key := range []string{"name " + t.Name, "secret " + string(t.Secret)} {
			if first, twice := places[key]; twice {
				wrong = append(wrong, fmt.Sprintf("tokens %d and %d have the same %s", first, place, strings.Fields(key)[0]))
			}
			places[key] = place
		}
		tokens = append(tokens, t)
	}
	if len(wrong) > 0 {
		return nil, errors.New(strings.Join(wrong, ", "))
	}
	return tokens, nil
}

func parseToken(text string, place int) (namedToken, error) {
	name, value, named := strings.Cut(text, ":")
	if !named {
		name, value = strconv.Itoa(place), text
	}
	switch {
	case !schema.IsToken(name):
		return namedToken{}, errors.New("has a name that is not 1 to 128 of A-Z a-z 0-9 _ -; write name:token")
	case len(value) < minToken:
		return namedToken{}, fmt.Errorf("has fewer than %d characters", minToken)
	case strings.ContainsAny(value, " \t:"):
		return namedToken{}, errors.New("holds a space or a second colon; write name:token")
	}
	return namedToken{name, secret(value)}, nil
}

// byteOrderMark is what some editors put in front of a file. In front of a token it would be part of it, and nobody would see it.
const byteOrderMark = "\ufeff"

// readTokensFile reads a file of tokens.
func readTokensFile(name string) ([]namedToken, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return parseTokensFile(data)
}

// parseTokensFile reads one token a line. Empty lines and those that begin with # are passed over.
func parseTokensFile(data []byte) ([]namedToken, error) {
	var lines []string
	for line := range strings.Lines(strings.TrimPrefix(string(data), byteOrderMark)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	tokens, err := parseTokens(lines)
	if err == nil && len(tokens) == 0 {
		err = errors.New("no token in it")
	}
	return tokens, err
}

// watchTokens has set follow the file of e.
func (e *endpointConfig) watchTokens(set *bridge.TokenSet) *watched {
	inUse := e.Tokens
	return &watched{setting: e.setting("tokens_file"), files: []string{e.TokensFile}, apply: func(contents [][]byte) ([]zap.Field, error) {
		tokens, err := parseTokensFile(contents[0])
		if err != nil || slices.Equal(tokens, inUse) {
			return nil, err
		}
		if err := set.Replace(bridgeTokens(tokens)...); err != nil {
			return nil, err
		}
		inUse = tokens
		return []zap.Field{zap.Strings("tokens", tokenNames(tokens))}, nil
	}}
}

func tokenNames(tokens []namedToken) []string {
	names := make([]string, len(tokens))
	for i, t := range tokens {
		names[i] = t.Name
	}
	return names
}

func bridgeTokens(tokens []namedToken) []bridge.Token {
	live := make([]bridge.Token, len(tokens))
	for i, t := range tokens {
		live[i] = bridge.NewToken(t.Name, string(t.Secret))
	}
	return live
}
