package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

// maxDepth is how deep objects and arrays may be nested, as in JSON (package strictjson).
const maxDepth = 32

const noAnchors = "anchors and aliases are not read: write it out"

// Document is one document of a file.
type Document struct {
	// JSON is what it says, its members in the order of the file.
	JSON []byte
	// lines are where members and elements begin, by their pointers (RFC 6901).
	lines map[string]int
}

// Line is the line at which a member or an element stands, or, where there is none, the nearest that it would be within.
func (d *Document) Line(pointer string) int {
	for {
		if line, ok := d.lines[pointer]; ok {
			return line
		}
		above := strings.LastIndexByte(pointer, '/')
		if above < 0 {
			return d.lines[""]
		}
		pointer = pointer[:above]
	}
}

// Error is what is wrong with a file, and where. It never repeats a value: that may be a secret.
type Error struct {
	Line int
	// Pointer is the member or element (RFC 6901); empty is the document, or that it is not known.
	Pointer string
	Message string
}

func (e *Error) Error() string {
	if e.Pointer == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, Path(e.Pointer), e.Message)
}

// Path is a pointer as people read it: "clients[0].redirect_uris".
func Path(pointer string) string {
	var b strings.Builder
	for i, token := range strings.Split(pointer, "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch _, err := strconv.ParseUint(token, 10, 32); {
		case i == 0:
		case err == nil && b.Len() > 0:
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

// Documents reads all documents of a file. Those that are empty are left out.
func Documents(text []byte) (documents []Document, err error) {
	if !utf8.Valid(text) {
		return nil, &Error{Line: firstBad(text), Message: "it is not text in UTF-8"}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		switch {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return nil, syntax(err, text)
		}
		d, err := document(&node)
		if err != nil {
			return nil, err
		}
		if d != nil {
			documents = append(documents, *d)
		}
	}
}

func firstBad(text []byte) int {
	line := 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			break
		}
		if r == '\n' {
			line++
		}
		text = text[size:]
	}
	return line
}

var (
	yamlLine      = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
)

// syntax is what the parser complains of. What it says after the line are its own words, which repeat nothing of the file but names of
// anchors.
func syntax(err error, text []byte) error {
	message, line := err.Error(), 1
	if found := yamlLine.FindStringSubmatch(message); found != nil {
		message = message[len(found[0]):]
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
	}
	if found := unknownAnchor.FindStringSubmatch(message); found != nil { // for which the parser has no line
		before, _, _ := bytes.Cut(text, []byte("*"+found[1]))
		return &Error{Line: 1 + bytes.Count(before, []byte("\n")), Message: noAnchors}
	}
	return &Error{Line: line, Message: "it is not YAML: " + message}
}

func document(node *yaml.Node) (*Document, error) {
	if node.Kind == yaml.DocumentNode && len(node.Content) == 1 {
		node = node.Content[0]
	}
	if node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" && node.Value == "" {
		return nil, nil //nolint:nilnil // it is empty
	}
	w := writer{lines: map[string]int{"": max(node.Line, 1)}}
	if err := w.value(node, "", 0); err != nil {
		return nil, err
	}
	d := &Document{JSON: w.out.Bytes(), lines: w.lines}
	if err := strictjson.Check(d.JSON); err != nil {
		complaint := &Error{Line: d.Line(""), Message: err.Error()}
		if twice := (*strictjson.DuplicateError)(nil); errors.As(err, &twice) {
			complaint.Line, complaint.Pointer, complaint.Message = d.Line(twice.Pointer), twice.Pointer, "it is there twice, or once in another case"
		}
		return nil, complaint
	}
	return d, nil
}

// writer writes what nodes say as JSON.
type writer struct {
	out   bytes.Buffer
	lines map[string]int
}

func (w *writer) value(node *yaml.Node, at string, depth int) error {
	wrong := func(message string) error { return &Error{Line: node.Line, Pointer: at, Message: message} }
	switch {
	case depth > maxDepth:
		return wrong("it is nested too deeply")
	case node.Kind == yaml.AliasNode || node.Anchor != "":
		return wrong(noAnchors)
	case node.Style&yaml.TaggedStyle != 0:
		return wrong("tags, which begin with !, are not read")
	}
	switch node.Kind {
	case yaml.MappingNode:
		return w.object(node, at, depth)
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, element := range node.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			below := at + "/" + strconv.Itoa(i)
			w.lines[below] = element.Line
			if err := w.value(element, below, depth+1); err != nil {
				return err
			}
		}
		w.out.WriteByte(']')
		return nil
	}
	return w.scalar(node, wrong)
}

func (w *writer) object(node *yaml.Node, at string, depth int) error {
	w.out.WriteByte('{')
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		below := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key.Value)
		wrong := func(message string) error { return &Error{Line: key.Line, Pointer: below, Message: message} }
		switch {
		case key.Kind == yaml.AliasNode || key.Anchor != "":
			return &Error{Line: key.Line, Pointer: at, Message: noAnchors}
		case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0:
			return &Error{Line: key.Line, Pointer: at, Message: "the names of members must be texts"}
		case key.ShortTag() == "!!merge":
			return &Error{Line: key.Line, Pointer: at, Message: "merge keys are not read: write it out"}
		case key.ShortTag() != "!!str":
			return wrong("the name of a member must be a text: put it in quotes")
		}
		w.lines[below] = key.Line
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.text(key.Value)
		w.out.WriteByte(':')
		if err := w.value(node.Content[i+1], below, depth+1); err != nil {
			return err
		}
	}
	w.out.WriteByte('}')
	return nil
}

// number is RFC 8259 §6. YAML has more ways of writing one, about which its readers differ.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (w *writer) scalar(node *yaml.Node, wrong func(string) error) error {
	switch node.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool":
		w.out.WriteString(strings.ToLower(node.Value))
	case "!!int", "!!float":
		if !number.MatchString(node.Value) {
			return wrong("it is no plain decimal number: if it is a text, put it in quotes")
		}
		w.out.WriteString(node.Value)
	default: // whatever else it looks like, nobody said so
		w.text(node.Value)
	}
	return nil
}

func (w *writer) text(text string) {
	encoder := json.NewEncoder(&w.out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)        // a text in UTF-8 can be written
	w.out.Truncate(w.out.Len() - 1) // the end of the line
}
