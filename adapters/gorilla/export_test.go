package gorillastore

// Known is how many sessions the store knows something of.
func (s *Store) Known() int {
	count := 0
	s.known.entries.Range(func(any, any) bool {
		count++
		return true
	})
	return count
}
