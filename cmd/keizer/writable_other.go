//go:build !unix

package main

import "os"

// writable says why files cannot be made in a folder, as far as that can be seen without trying.
func writable(dir string) error {
	_, err := os.Stat(dir)
	return err
}
