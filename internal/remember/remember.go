// Package remember keeps in mind which keys have been seen, of the last so many.
package remember

import (
	"hash/maphash"
	"sync"
)

// Set is a set of at most so many keys. When it is full, the one that was not used for the
// longest time goes. It keeps 64 bits of each key, mixed with a secret of its own, and not
// the key: it needs 50 to 80 bytes a key however long they are, tells nobody what they
// were, and takes one key for another by mistake with a chance of its size in 2^64. Every
// call takes the same time. It is safe for concurrent use.
type Set struct {
	seed maphash.Seed
	size int

	mu sync.Mutex // guards what follows; nothing blocks under it
	// places says where in entries a key is.
	places map[uint64]int32
	// entries is a ring, in the order of use, around entry 0, which holds no key: behind
	// it is the last one used, before it the one that goes first. It grows up to size keys.
	entries []entry
	// vacant begins a list, along next, of places whose keys were removed; 0: none.
	vacant int32
}

// entry is a key's place in the ring.
type entry struct {
	hash           uint64
	previous, next int32
}

// Largest is the most keys a set can hold.
const Largest = 1<<31 - 2

// New returns a set of at most size keys, which must be from 0 to Largest. It takes memory
// as keys are added. One of size 0 remembers nothing.
func New(size int) *Set {
	return &Set{
		seed: maphash.MakeSeed(), size: min(max(size, 0), Largest),
		places: map[uint64]int32{}, entries: make([]entry, 1),
	}
}

// Add adds a key, or uses it if it is there.
func (s *Set) Add(key string) {
	if s.size == 0 {
		return
	}
	hash := maphash.String(s.seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.places[hash]
	if ok {
		s.takeOut(place)
	} else {
		place = s.room()
		s.entries[place].hash = hash
		s.places[hash] = place
	}
	s.putFirst(place)
}

// Has reports whether a key is there, which uses it.
func (s *Set) Has(key string) bool {
	hash := maphash.String(s.seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.places[hash]
	if ok {
		s.takeOut(place)
		s.putFirst(place)
	}
	return ok
}

// Remove removes a key, if it is there.
func (s *Set) Remove(key string) {
	hash := maphash.String(s.seed, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	place, ok := s.places[hash]
	if !ok {
		return
	}
	s.takeOut(place)
	delete(s.places, hash)
	s.entries[place] = entry{next: s.vacant}
	s.vacant = place
}

// Len is how many keys there are.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.places)
}

// room is a place for one more key, that of the key that goes if the set is full.
func (s *Set) room() int32 {
	if place := s.vacant; place != 0 {
		s.vacant = s.entries[place].next
		return place
	}
	if len(s.entries) <= s.size {
		s.entries = append(s.entries, entry{})
		return int32(len(s.entries) - 1)
	}
	place := s.entries[0].previous
	s.takeOut(place)
	delete(s.places, s.entries[place].hash)
	return place
}

func (s *Set) takeOut(place int32) {
	e := s.entries[place]
	s.entries[e.previous].next = e.next
	s.entries[e.next].previous = e.previous
}

func (s *Set) putFirst(place int32) {
	first := s.entries[0].next
	s.entries[place].previous, s.entries[place].next = 0, first
	s.entries[first].previous = place
	s.entries[0].next = place
}
