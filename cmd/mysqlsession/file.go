package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// standardOutput is the name of a file that stands for it.
const standardOutput = "-"

// outputFile is a file that a command writes at its end, which may be minutes away. Whether it can
// be written shows at the beginning, and what was there before stays until then.
type outputFile struct {
	path string
	temp *os.File // nil: there is no file to write
}

// newOutputFile prepares the file; there is none for "" and for the standard output.
func newOutputFile(path string) (*outputFile, error) {
	if path == "" || path == standardOutput {
		return &outputFile{path: path}, nil
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("write %s: %w", path, errors.Unwrap(err))}
	}
	return &outputFile{path, temp}, nil
}

// write has the content written, to the standard output if that was asked for.
func (o *outputFile) write(standard io.Writer, content func(w io.Writer) error) error {
	switch {
	case o.path == "":
		return nil
	case o.temp == nil:
		return content(standard)
	}
	err := content(o.temp)
	err = errors.Join(err, o.temp.Chmod(0o644), o.temp.Close())
	if err == nil {
		err = os.Rename(o.temp.Name(), o.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", o.path, err)
	}
	return nil
}

// discard removes what was not written. After write it does nothing.
func (o *outputFile) discard() {
	if o.temp != nil {
		_ = o.temp.Close()
		_ = os.Remove(o.temp.Name())
	}
}
