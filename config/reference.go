package config

import (
	"fmt"
	"strings"
)

// A Value is what a key was set to, and by whom.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"` // secrets show as [redacted]; of the database's URL only what is one
	Source string `json:"source"`
}

// Values lists every key with its value and source, in the order of the reference.
func (c *Config) Values() []Value {
	values := make([]Value, len(keys))
	for i, key := range keys {
		values[i] = Value{Name: key.Name, Value: key.text(c), Source: c.sources[key.Name]}
		if name := c.DatabaseName(); key.Name == "database.url" && name != "" {
			// The first thing to look at when something is not where it should be.
			if strings.HasPrefix(c.Database.URL.Reveal(), "sqlite:") {
				values[i].Value = "sqlite:" + name
			} else {
				values[i].Value = "postgres://[redacted]@" + name
			}
		}
	}
	return values
}

// Reference returns every key as a table in Markdown.
func (c *Config) Reference() string {
	var b strings.Builder
	b.WriteString("| key | environment | flag | type | default | meaning |\n|---|---|---|---|---|---|\n")
	for _, key := range keys {
		env := code(key.Env())
		if key.Secret() {
			env += ", " + code(key.Env()+"_FILE")
		}
		flag := ""
		if key.Flag != "" {
			flag = code("--" + key.Flag)
		}
		fallback := key.Derived
		if fallback == "" && key.Default != "" {
			fallback = code(key.Default)
		} else if fallback == "" {
			fallback = "none"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", code(key.Name), env, flag, key.Type(), fallback, strings.ReplaceAll(key.Meaning, "|", `\|`))
	}
	return b.String()
}

func code(s string) string { return "`" + s + "`" }
