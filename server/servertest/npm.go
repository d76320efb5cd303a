package servertest

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

//go:embed npm
var npmFiles embed.FS

// nodeModules is the folder of everything that tests want of npm, at the versions of one lock file. It is laid out once a machine, in the
// cache of whoever runs the tests, and is whole from the moment that it is there.
var nodeModules = sync.OnceValues(func() (folder string, err error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("npm is not installed")
	}
	lock, err := npmFiles.ReadFile("npm/package-lock.json")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	home := filepath.Join(cache, "keizer-tests", fmt.Sprintf("npm-%x", sha256.Sum256(lock)))
	folder = filepath.Join(home, "node_modules")
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	if err := os.MkdirAll(filepath.Dir(home), 0o700); err != nil {
		return "", err
	}
	making, err := os.MkdirTemp(filepath.Dir(home), "making-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(making)) }()
	files, err := fs.Sub(npmFiles, "npm")
	if err == nil {
		err = os.CopyFS(making, files)
	}
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = making
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm could not install what the tests want: %w\n%s", err, out)
	}
	if err := os.Rename(making, home); err != nil {
		if _, there := os.Stat(folder); there != nil { // else another process was first
			return "", err
		}
	}
	return folder, nil
})

// NodeModules is the folder of npm's packages for a test that uses some. On a machine that cannot have them the test is skipped, or fails
// where node is required.
func NodeModules(t testing.TB) string {
	t.Helper()
	Needs(t, "node", "node", "npm")
	folder, err := nodeModules()
	if err != nil {
		Lacks(t, "node", err.Error())
	}
	return folder
}
