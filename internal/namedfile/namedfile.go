package namedfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// most is how long a file may be, in bytes: what is longer was named by mistake.
const most = 1 << 20

// Read returns what stands in a file of at most 1 MiB.
func Read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, Trouble(name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, Trouble(name, err)
	}
	if len(content) > most {
		return nil, fmt.Errorf("file %s is larger than 1 MiB", name)
	}
	return content, nil
}

// Trouble says what has kept a file from being read.
func Trouble(name string, err error) error {
	var reason *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("file %s does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("file %s may not be read", name)
	case errors.As(err, &reason):
		err = reason.Err
	}
	return fmt.Errorf("file %s cannot be read: %w", name, err)
}
