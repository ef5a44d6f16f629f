package gorillastore

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"

	"github.com/gorilla/sessions"
)

// Serializer turns a session's Values into bytes and back. It must be safe for concurrent
// use. How many bytes there may be is the store's limit: mysqlsession.ErrValueTooLarge.
type Serializer interface {
	// Serialize returns the session's Values as bytes. It changes nothing.
	Serialize(session *sessions.Session) ([]byte, error)
	// Deserialize adds what data holds to the Values of a session that has none.
	Deserialize(data []byte, session *sessions.Session) error
}

// GobSerializer is the Serializer of gorilla's own stores, encoding/gob: values of types of
// one's own come back as what they were. They must be registered with gob.Register.
type GobSerializer struct{}

// Serialize encodes the Values. Errors are gob's.
func (GobSerializer) Serialize(session *sessions.Session) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(session.Values)
	return b.Bytes(), err
}

// Deserialize decodes the Values. Errors are gob's.
func (GobSerializer) Deserialize(data []byte, session *sessions.Session) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(&session.Values)
}

// JSONSerializer stores a JSON object, which programs in other languages can read. Keys must
// be strings. What comes back is what encoding/json makes of an any: every number is a
// float64, which is exact up to 2^53, and a struct is a map[string]any.
type JSONSerializer struct{}

// Serialize encodes the Values. Errors: a key that is no string, and those of encoding/json.
func (JSONSerializer) Serialize(session *sessions.Session) ([]byte, error) {
	object := make(map[string]any, len(session.Values))
	for key, value := range session.Values {
		name, ok := key.(string)
		if !ok {
			return nil, fmt.Errorf("%sa key of type %T cannot be stored as JSON, only strings can", prefix, key)
		}
		object[name] = value
	}
	return json.Marshal(object)
}

// Deserialize decodes the Values. Errors are those of encoding/json.
func (JSONSerializer) Deserialize(data []byte, session *sessions.Session) error {
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	for name, value := range object {
		session.Values[name] = value
	}
	return nil
}
