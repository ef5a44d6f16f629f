package httpsession

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// errEncoding is a value that cannot be stored as JSON.
var errEncoding = errors.New("httpsession: the value cannot be encoded")

// content is what is stored of a session, as JSON that other programs can read.
type content[T any] struct {
	Began      int64  `json:"began"`             // in Unix seconds
	Subject    string `json:"subject,omitempty"` // "": nobody has signed in
	Remembered bool   `json:"remembered,omitempty"`
	Value      T      `json:"value"`
}

func (c *content[T]) encode() ([]byte, error) {
	encoded, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEncoding, err)
	}
	return encoded, nil
}

func decode[T any](encoded []byte) (*content[T], error) {
	c := new(content[T])
	return c, json.Unmarshal(encoded, c)
}

// isIn reports whether row, which may be nil, holds what encoded is the encoding of. A row
// of an older T may hold the same in other words: reading a session must not write it.
func (c *content[T]) isIn(row, encoded []byte) bool {
	if row == nil || bytes.Equal(row, encoded) {
		return row != nil
	}
	stored, err := decode[T](row)
	if err != nil {
		return false
	}
	again, err := stored.encode()
	return err == nil && bytes.Equal(again, encoded)
}

// isEmpty reports whether there is nothing to store in c, of which encoded is the encoding.
func (c *content[T]) isEmpty(encoded []byte) bool {
	empty, err := (&content[T]{Began: c.Began}).encode()
	return err == nil && bytes.Equal(empty, encoded)
}
