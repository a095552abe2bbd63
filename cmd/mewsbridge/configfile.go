package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFile is what a YAML file says, as text by dotted key.
type configFile struct {
	name      string
	values    map[string]fileValue
	endpoints []fileEndpoint
	problems  []error // unknown and repeated keys, and values of the wrong shape
}

// fileEndpoint is an element of endpoints.
type fileEndpoint struct {
	values map[string]fileValue
	line   int
}

type fileValue struct {
	text string
	line int
}

// readConfigFile reads name; without a name there is no file and nothing in it.
func readConfigFile(name string) configFile {
	f := configFile{name: name, values: map[string]fileValue{}}
	if name == "" {
		return f
	}
	data, err := os.ReadFile(name)
	if err != nil {
		f.problems = append(f.problems, fmt.Errorf("--config: %w", err))
		return f
	}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		// yaml's own text can quote the file, which may hold a token.
		f.problems = append(f.problems, fmt.Errorf("%s: %w", name, errors.New("not valid YAML"+lineOf(err))))
		return f
	}
	if len(root.Content) == 0 {
		return f
	}
	known := map[string]bool{}
	for _, s := range settings() {
		known[s.key] = true
	}
	known[keyEndpoints] = true
	f.walk(root.Content[0], "", known)
	return f
}

const keyEndpoints = "endpoints"

// takeEndpoints takes in a list of mappings.
func (f *configFile) takeEndpoints(name, value *yaml.Node) {
	if value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
		f.problem(name, "%s is not a list of endpoints, each with name, path, prefix and tokens", keyEndpoints)
		return
	}
	if len(f.endpoints) > 0 {
		f.problem(name, "%s is set twice", keyEndpoints)
		return
	}
	known := map[string]bool{"name": true}
	for _, key := range endpointKeys() {
		known[key] = true
	}
	for _, item := range value.Content {
		if item.Kind != yaml.MappingNode {
			f.problem(item, "an endpoint is not such as {name: demo, path: /demo, prefix: demo, tokens_file: demo.tokens}")
			continue
		}
		one := configFile{name: f.name, values: map[string]fileValue{}}
		one.walk(item, "", known)
		f.endpoints = append(f.endpoints, fileEndpoint{one.values, item.Line})
		f.problems = append(f.problems, one.problems...)
	}
}

// lineOf keeps of a YAML error only where it is.
func lineOf(err error) string {
	var line int
	if _, scanErr := fmt.Sscanf(strings.TrimPrefix(err.Error(), "yaml: "), "line %d:", &line); scanErr == nil {
		return fmt.Sprintf(", line %d", line)
	}
	return ""
}

func (f *configFile) problem(node *yaml.Node, format string, args ...any) {
	f.problems = append(f.problems, fmt.Errorf("%s line %d: %s", f.name, node.Line, fmt.Sprintf(format, args...)))
}

// walk takes in a mapping, and the mappings in it.
func (f *configFile) walk(node *yaml.Node, prefix string, known map[string]bool) {
	if node.Kind != yaml.MappingNode {
		f.problem(node, "%s holds no keys", strings.TrimSuffix("the file "+prefix, "."))
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := prefix + name.Value
		switch {
		case known[key] && key == keyEndpoints:
			f.takeEndpoints(name, value)
		case known[key]:
			f.take(key, name, value)
		case isSection(key, known):
			f.walk(value, key+".", known)
		default:
			f.problem(name, "unknown key %s", key)
		}
	}
}

func isSection(key string, known map[string]bool) bool {
	for k := range known {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// take notes a value: a scalar, or a list of scalars as comma separated text.
func (f *configFile) take(key string, name, value *yaml.Node) {
	if _, twice := f.values[key]; twice {
		f.problem(name, "%s is set twice", key)
		return
	}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
	case value.Kind == yaml.ScalarNode:
		f.values[key] = fileValue{value.Value, value.Line}
	case value.Kind == yaml.SequenceNode:
		var items []string
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				f.problem(item, "%s is not a list of plain values", key)
				return
			}
			items = append(items, item.Value)
		}
		f.values[key] = fileValue{strings.Join(items, ","), value.Line}
	default:
		f.problem(name, "%s is not a plain value", key)
	}
}
