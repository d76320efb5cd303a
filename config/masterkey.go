package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/keizer-auth/keizer/internal/namedfile"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
)

// MasterKeyFile is where development keeps the master key that nobody configured; "" when it comes from elsewhere.
func (c *Config) MasterKeyFile() string {
	if !c.Development() || c.MasterKey != "" {
		return ""
	}
	return filepath.Join(c.DataDir, "master.key")
}

// SecretFiles are the files that secrets are read from, or in development will be: nobody but their owner should see them.
func (c *Config) SecretFiles() []string {
	files := append([]string(nil), c.secretFiles...)
	for _, key := range keys {
		if c.file != "" && key.Secret() && c.sources[key.Name] == "file "+c.file {
			files = append(files, c.file)
			break
		}
	}
	for _, name := range []string{c.MasterKeyFile(), c.TLS.KeyFile} {
		if name != "" {
			files = append(files, name)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

// developmentKey reads the master key of development, or makes it. Of several processes that start at once on an empty
// directory one makes it and all read that one: the file appears whole, or not at all.
func (c *Config) developmentKey() (secret.Text, error) {
	name := c.MasterKeyFile()
	content, err := os.ReadFile(name)
	if err == nil {
		return secret.Text(content), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("master key: %w", namedfile.Trouble(name, err))
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("make data directory: %w", err)
	}
	if err := writeOnce(name, seal.NewKey()+"\n"); err != nil {
		return "", fmt.Errorf("make master key: %w", err)
	}
	content, err = os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("master key: %w", namedfile.Trouble(name, err))
	}
	return secret.Text(content), nil
}

// writeOnce puts content into a new file that only its owner may read. A file that is there already stays as it is.
func writeOnce(name, content string) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".master-*.key") // 0600 from the first moment
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if dir, err := os.Open(filepath.Dir(name)); err == nil {
		_ = dir.Sync() // the key should outlive a power cut as what it sealed does; not every system can promise it
		_ = dir.Close()
	}
	return nil
}
