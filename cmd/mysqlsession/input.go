package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// readLine is the next line of a stream, without its end. It does not wait for the stream
// when the context ends: at a terminal nobody would close it.
func readLine(ctx context.Context, from io.Reader) (string, error) {
	type outcome struct {
		line string
		err  error
	}
	read := make(chan outcome, 1)
	go func() {
		line, err := bufio.NewReader(io.LimitReader(from, secretLimit)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil
		}
		read <- outcome{strings.TrimRight(line, "\r\n"), err}
	}()
	select {
	case got := <-read:
		return got.line, got.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// errDeclined is the end of a command that was not confirmed.
var errDeclined = errors.New("not confirmed, nothing was done")

// errNobodyToAsk is a command that has to be confirmed where there is no terminal.
var errNobodyToAsk = &exitError{exitUsage, errors.New("standard input is no terminal where one could ask for confirmation; say --yes")}

// confirm asks at the terminal whether something is to be done.
func confirm(command *cobra.Command, question string) error {
	if _, err := fmt.Fprintf(command.ErrOrStderr(), "%s [y/N] ", question); err != nil {
		return err
	}
	answer, err := readLine(command.Context(), command.InOrStdin())
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	default:
		return errDeclined
	}
}
