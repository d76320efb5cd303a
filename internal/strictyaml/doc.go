// Package strictyaml reads files that people write in YAML, in the one way in which they mean the same to everybody, and knows at
// which line of them everything stands; and it writes such files.
//
// YAML has many ways of saying a thing, and readers that differ about them. Here a document is what JSON can say and nothing more:
// objects whose members have names that are texts, each once; arrays, texts, numbers as JSON writes them, true, false and null. There
// are no anchors and aliases, by which a few lines become gigabytes, no merge keys and no tags, and what looks like a date is a text.
//
// It owns the form of a document, not its meaning: what a member must hold is for the caller to check, who may ask at which line it
// stands.
//
// YAML 1.2.2, RFC 8259 (JSON), RFC 6901 (pointers).
package strictyaml
