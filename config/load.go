package config

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"github.com/keizer-auth/keizer/internal/namedfile"
	"github.com/keizer-auth/keizer/internal/nearest"
)

const (
	envPrefix   = "KEIZER_"
	testPrefix  = "KEIZER_TEST_" // what tests want to know of their machine
	fileEnv     = "KEIZER_CONFIG"
	defaultFile = "keizer.yaml"
)

// Sources are the places that values come from, the strongest first.
type Sources struct {
	Args    map[string]string // the flags that were set, by their name without dashes
	Environ []string          // as os.Environ gives it
	File    string            // the file that --config names; if "", KEIZER_CONFIG, else keizer.yaml where there is one
}

// given is a value as it was found. Its fields are exported for koanf, which copies what it merges.
type given struct {
	Text   string
	File   string // read the text from this file
	Source string
}

// Load reads the configuration. Its error joins everything that is unknown or malformed, one sentence each; the
// configuration is then what could be read, good only for having Validate complain about the rest.
func Load(s Sources) (*Config, error) {
	env, envErr := environment(s.Environ)
	file, found, fileErr := readFile(s)
	flags, flagErr := arguments(s.Args)
	complaints := []error{flagErr, envErr, fileErr}

	merged := koanf.New(".")
	for _, layer := range []map[string]any{file, env, flags} {
		if err := merged.Load(confmap.Provider(layer, "."), nil); err != nil {
			return nil, fmt.Errorf("merge configuration: %w", err)
		}
	}

	c := &Config{sources: make(map[string]string), file: found}
	for _, key := range keys {
		value, ok := merged.Get(key.Name).(given)
		if !ok {
			value = given{Text: key.Default, Source: "default"}
		}
		text, err := value.read()
		if err == nil {
			err = key.set(c, text)
		}
		if err != nil {
			complaints = append(complaints, fmt.Errorf("%s (%s): %w", key.Name, value.Source, err))
			_ = key.set(c, key.Default)
		}
		c.sources[key.Name] = value.Source
		if value.File != "" {
			c.secretFiles = append(c.secretFiles, value.File)
		}
	}
	c.fallBack(s.Environ, &complaints)
	c.settle()
	return c, errors.Join(complaints...)
}

// fallBack takes the two variables that platforms set for every program, where nobody set Keizer's own.
func (c *Config) fallBack(environ []string, complaints *[]error) {
	for name, value := range variables(environ) {
		switch {
		case value == "":
		case name == "DATABASE_URL" && c.Database.URL == "":
			key, _ := keyNamed("database.url")
			_ = key.set(c, value) // any text is one
			c.sources[key.Name] = "environment DATABASE_URL"
		case name == "PORT" && c.Listen == "":
			if !portNumber.MatchString(value) {
				*complaints = append(*complaints, errors.New("PORT: must be a port number"))
				continue
			}
			c.sources["PORT"] = value
		}
	}
}

var portNumber = regexp.MustCompile(`^[1-9][0-9]{0,4}$`)

// read returns the text, from its file where it is in one.
func (g given) read() (string, error) {
	if g.File == "" {
		return g.Text, nil
	}
	content, err := namedfile.Read(g.File)
	if err != nil {
		return "", err
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "", fmt.Errorf("file %s is empty", g.File)
	}
	return text, nil
}

func arguments(args map[string]string) (map[string]any, error) {
	layer := make(map[string]any)
	var complaints []error
	for _, flag := range slices.Sorted(maps.Keys(args)) {
		i := slices.IndexFunc(keys, func(k Key) bool { return k.Flag != "" && k.Flag == flag })
		if i < 0 {
			complaints = append(complaints, fmt.Errorf("--%s: unknown flag", flag))
			continue
		}
		if args[flag] == "" {
			complaints = append(complaints, fmt.Errorf("--%s: must not be empty", flag))
			continue
		}
		layer[keys[i].Name] = given{Text: args[flag], Source: "flag --" + flag}
	}
	return layer, errors.Join(complaints...)
}

// commandVariables say how commands work through a server that runs elsewhere. They configure no server, and are not read here.
var commandVariables = []string{
	"KEIZER_SERVER", "KEIZER_CA_FILE", "KEIZER_TOKEN", "KEIZER_TOKEN_FILE", "KEIZER_CLIENT_ID", "KEIZER_CLIENT_SECRET", "KEIZER_CLIENT_SECRET_FILE",
	"KEIZER_CLIENT_ISSUER",
}

// environment reads Keizer's own variables. An empty one counts as not set, as in a compose file that passes everything on;
// not so the issuer, because that would silently be development.
func environment(environ []string) (map[string]any, error) {
	layer := make(map[string]any)
	known := map[string]func(value string) error{fileEnv: func(string) error { return nil }}
	vars := variables(environ)
	for _, key := range keys {
		name := key.Env()
		known[name] = func(value string) error {
			if value != "" {
				layer[key.Name] = given{Text: value, Source: "environment " + name}
			} else if key.Name == "issuer" {
				return fmt.Errorf("%s: is set but empty; unset it for development", name)
			}
			return nil
		}
		if !key.Secret() {
			continue
		}
		known[name+"_FILE"] = func(value string) error {
			if value != "" && vars[name] != "" {
				return fmt.Errorf("%s and %s_FILE are both set; keep one", name, name)
			}
			if value != "" {
				layer[key.Name] = given{File: value, Source: "environment " + name + "_FILE"}
			}
			return nil
		}
	}

	var complaints []error
	for _, name := range slices.Sorted(maps.Keys(vars)) { // NAME before NAME_FILE
		read, ok := known[name]
		switch {
		case !strings.HasPrefix(name, envPrefix), strings.HasPrefix(name, testPrefix) && !ok, slices.Contains(commandVariables, name), ofKubernetes(name, vars[name]):
		case ok:
			complaints = append(complaints, read(vars[name]))
		default:
			complaints = append(complaints, fmt.Errorf("%s: unknown environment variable%s", name, meant(name, maps.Keys(known))))
		}
	}
	return layer, errors.Join(complaints...)
}

// ofKubernetes recognises what Kubernetes puts into the environment of every pod beside a service named keizer
// (KEIZER_SERVICE_HOST, KEIZER_PORT=tcp://…, KEIZER_PORT_80_TCP_ADDR …). Nobody wrote these, so nobody mistyped them.
func ofKubernetes(name, value string) bool {
	return serviceVariable.MatchString(name) || name == "KEIZER_PORT" && strings.Contains(value, "://")
}

var serviceVariable = regexp.MustCompile(`^KEIZER_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// meant returns "; did you mean X?" for the nearest of the names, or nothing when none is near.
func meant(given string, names iter.Seq[string]) string {
	if name := nearest.Name(given, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}

// fileNames are the names of keys as they may stand in keizer.yaml.
func fileNames() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, key := range keys {
			if !yield(key.Name) || key.Secret() && !yield(key.Name+"_file") {
				return
			}
		}
	}
}

// variables splits the environment into names and values; of a name that stands twice the last counts, as in os.Getenv's
// successors.
func variables(environ []string) map[string]string {
	vars := make(map[string]string)
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			vars[name] = value
		}
	}
	return vars
}

// readFile finds and reads the configuration file. Only the one that nobody named may be missing.
func readFile(s Sources) (layer map[string]any, name string, err error) {
	layer = make(map[string]any)
	name = s.File
	if name == "" {
		name = variables(s.Environ)[fileEnv]
	}
	if name == "" {
		name = defaultFile
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			return layer, "", nil
		}
	}
	content, err := namedfile.Read(name)
	if err != nil {
		return layer, "", fmt.Errorf("configuration: %w", err)
	}
	layer, err = parseFile(name, string(content))
	return layer, name, err
}

func parseFile(name, content string) (map[string]any, error) {
	layer := make(map[string]any)
	tree, err := yaml.Parser().Unmarshal([]byte(content))
	if err != nil {
		return layer, fmt.Errorf("%s: is not YAML of keys and values%s", name, lineOf(err))
	}
	flat := koanf.New(".")
	if err := flat.Load(confmap.Provider(tree, ""), nil); err != nil {
		return layer, fmt.Errorf("%s: %w", name, err)
	}
	values := flat.All()

	var complaints []error
	for _, path := range slices.Sorted(maps.Keys(values)) {
		value := values[path]
		complain := func(format string, args ...any) {
			complaints = append(complaints, fmt.Errorf("%s: %s: "+format, append([]any{name, path}, args...)...))
		}
		bare, isFile := strings.CutSuffix(path, "_file")
		key, ok := keyNamed(path)
		if fileKey, known := keyNamed(bare); !ok && isFile && known && fileKey.Secret() {
			key, ok = fileKey, true
		} else {
			isFile = false
		}
		if !ok {
			if group := keysUnder(path); len(group) > 0 {
				if value != nil && !emptyMap(value) { // a heading with nothing under it is nothing
					complain("is a heading, not a key; under it are %s", strings.Join(group, ", "))
				}
				continue
			}
			complain("unknown key%s", meant(path, fileNames()))
			continue
		}
		if value == nil {
			continue
		}
		text, err := key.fromYAML(value)
		if isFile && err == nil {
			_, both := layer[key.Name]
			if text, err = plainText(value); both {
				err = fmt.Errorf("is given beside %s; keep one", key.Name)
			}
		}
		switch {
		case err != nil:
			complain("%w", err)
		case text == "" && key.Name == "issuer":
			complain("is empty; leave it out for development")
		case text == "":
		case isFile:
			layer[key.Name] = given{File: text, Source: "file " + name + ", " + path}
		default:
			layer[key.Name] = given{Text: text, Source: "file " + name}
		}
	}
	return layer, errors.Join(complaints...)
}

// fromYAML turns what YAML made of a value into text. YAML has opinions (an unquoted key of digits is a number, and loses
// its end), so text must be text.
func (k Key) fromYAML(value any) (string, error) {
	if items, ok := value.([]any); ok {
		if !strings.HasPrefix(k.Type(), "list") {
			return "", errors.New("must be one value, not a list")
		}
		texts := make([]string, len(items))
		for i, item := range items {
			text, err := plainText(item)
			if err != nil {
				return "", err
			}
			texts[i] = text
		}
		return strings.Join(texts, "\n"), nil
	}
	switch v := value.(type) {
	case int:
		if k.Type() == "number" {
			return fmt.Sprint(v), nil
		}
		if k.Type() == "duration" && v != 0 {
			return "", errors.New("must be a duration such as 90s, 15m or 12h")
		} else if k.Type() == "duration" {
			return "0", nil
		}
	case bool:
		if k.Type() == "true or false" {
			return fmt.Sprint(v), nil
		}
	}
	return plainText(value)
}

func plainText(value any) (string, error) {
	text, ok := value.(string)
	if !ok {
		return "", errors.New("must be text; put it in quotes")
	}
	return text, nil
}

func emptyMap(value any) bool {
	m, ok := value.(map[string]any)
	return ok && len(m) == 0
}

func keysUnder(path string) (names []string) {
	for _, key := range keys {
		if strings.HasPrefix(key.Name, path+".") {
			names = append(names, key.Name)
		}
	}
	return names
}

// lineOf takes the line number out of a parser's error, and leaves the rest, which may quote a secret.
func lineOf(err error) string {
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		return " (line " + m[1] + ")"
	}
	return ""
}

var yamlLine = regexp.MustCompile(`line ([0-9]+)`)
