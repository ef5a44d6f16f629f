// Package known keeps what has been made for each of a bounded number of keys.
package known

import (
	"maps"
	"sync"
	"sync/atomic"
)

// most is how many values are kept: names that never end must not fill the memory.
const most = 4096

// Values are what has been made, by key, where making it for each use would cost more than
// the use. They are safe for concurrent use, and reading takes no lock.
type Values[Key comparable, Value any] struct {
	values atomic.Pointer[map[Key]*Value] // replaced as a whole
	adding sync.Mutex                     // while it is replaced
}

// Of is the key's value, made if there is none yet.
func (k *Values[Key, Value]) Of(key Key, create func(Key) *Value) *Value {
	if values := k.values.Load(); values != nil {
		if value := (*values)[key]; value != nil {
			return value
		}
	}
	return k.add(key, create(key))
}

func (k *Values[Key, Value]) add(key Key, value *Value) *Value {
	k.adding.Lock()
	defer k.adding.Unlock()
	grown := map[Key]*Value{}
	if values := k.values.Load(); values != nil {
		if len(*values) >= most {
			return value
		}
		if there := (*values)[key]; there != nil {
			return there
		}
		grown = maps.Clone(*values)
	}
	grown[key] = value
	k.values.Store(&grown)
	return value
}
