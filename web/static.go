package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// static holds the embedded files under names that say what is in them, so that a browser may keep them for ever.
type static struct {
	addresses map[string]string     // keizer.css → /static/keizer.0123456789abcdef.css
	files     map[string]staticFile // by address
}

type staticFile struct {
	mediaType string
	body      []byte
}

// newStatic names the files. Their media types come from here and not from the machine's tables, which differ.
func newStatic() (*static, error) {
	types := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
	s := &static{addresses: make(map[string]string), files: make(map[string]staticFile)}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		return nil, fmt.Errorf("list the static files: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		body, err := fs.ReadFile(staticFiles, "static/"+name)
		if err != nil {
			return nil, fmt.Errorf("read static file %s: %w", name, err)
		}
		extension := path.Ext(name)
		mediaType, ok := types[extension]
		if !ok {
			return nil, fmt.Errorf("static file %s has no media type", name)
		}
		sum := sha256.Sum256(body)
		address := "/static/" + strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(sum[:8]) + extension
		s.addresses[name] = address
		s.files[address] = staticFile{mediaType, body}
	}
	return s, nil
}

// address is where a template finds a file.
func (s *static) address(name string) (string, error) {
	address, ok := s.addresses[name]
	if !ok {
		return "", fmt.Errorf("there is no static file %s", name)
	}
	return address, nil
}

// ServeHTTP serves a file under its exact address. An address of another release is gone: its page is, too.
func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	file, ok := s.files[r.URL.Path]
	if !ok {
		file = staticFile{"text/css; charset=utf-8", accentAt(r.URL.Path)}
		ok = file.body != nil
	}
	if !ok {
		http.Error(w, "There is nothing at this address.", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", file.mediaType)
	h.Set("Content-Length", strconv.Itoa(len(file.body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	// A picture opened by itself is a document, and runs nothing.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if r.Method != http.MethodHead {
		_, _ = w.Write(file.body) // the browser has gone; there is nobody to tell
	}
}
