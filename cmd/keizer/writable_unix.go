//go:build unix

package main

import "golang.org/x/sys/unix"

// writable says why files cannot be made in a folder. It asks, and tries nothing.
func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
