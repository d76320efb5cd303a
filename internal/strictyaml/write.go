package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Note is how a member or an element is written besides.
type Note struct {
	// Above stands on lines of its own before it, Beside at the end of its line. Both are comments.
	Above, Beside string
	// Short writes an object on one line.
	Short bool
}

// Write writes a JSON value as a document, its members in the order in which they stand there. note says, by its pointer, what is
// written beside a value; nil is nothing.
func Write(value []byte, note func(pointer string) Note) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	if note == nil {
		note = func(string) Note { return Note{} }
	}
	node, err := nodeOf(decoder, "", note)
	if err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	node.HeadComment = note("").Above
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := errors.Join(encoder.Encode(node), encoder.Close()); err != nil {
		return nil, fmt.Errorf("write YAML: %w", err)
	}
	return out.Bytes(), nil
}

func nodeOf(decoder *json.Decoder, at string, note func(string) Note) (*yaml.Node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch value := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		if value == '[' {
			node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
		}
		if err := fill(node, decoder, at, note); err != nil {
			return nil, err
		}
		if len(node.Content) == 0 || note(at).Short {
			node.Style = yaml.FlowStyle
		}
		return node, nil
	case string:
		return text(value), nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(value)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// fill reads what is in an object or an array, and what ends it.
func fill(node *yaml.Node, decoder *json.Decoder, at string, note func(string) Note) error {
	for i := 0; decoder.More(); i++ {
		below := at + "/" + strconv.Itoa(i)
		var name *yaml.Node
		if node.Kind == yaml.MappingNode {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			below = at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
			name = text(key)
			node.Content = append(node.Content, name)
		}
		value, err := nodeOf(decoder, below, note)
		if err != nil {
			return err
		}
		about := note(below)
		value.LineComment = about.Beside
		if name != nil {
			name.HeadComment = about.Above
		} else {
			value.HeadComment = about.Above
		}
		node.Content = append(node.Content, value)
	}
	_, err := decoder.Token()
	return err
}

// ambiguous is what older readers of YAML take for something else than a text.
var ambiguous = regexp.MustCompile(`(?i)^(y|n|yes|no|on|off|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)$`)

// text is a text that every reader of YAML takes for just this one.
func text(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	odd := strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' '
	})
	if odd || ambiguous.MatchString(value) {
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
