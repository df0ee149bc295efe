package store

import "fmt"

// Log is an append-only list of records with an index and a cache.
type Log struct {
	data    []byte
	offsets map[string]int
	cache   *LRU[string, string]
	reads   int
}

// NewLog makes an empty log whose cache holds some entries.
func NewLog(cached int) *Log {
	return &Log{offsets: map[string]int{}, cache: NewLRU[string, string](cached, nil)}
}

// Set appends a record.
func (l *Log) Set(key, value string) {
	l.offsets[key] = len(l.data)
	l.data = append(l.data, Encode(key, value)...)
	l.cache.Put(key, value)
}

// Get reads a value, from the cache where it is there.
func (l *Log) Get(key string) (string, error) {
	if value, ok := l.cache.Get(key); ok {
		return value, nil
	}
	offset, ok := l.offsets[key]
	if !ok {
		return "", fmt.Errorf("no key %q", key)
	}
	l.reads++
	_, value, _, err := Decode(l.data[offset:])
	if err != nil {
		return "", fmt.Errorf("key %q: %w", key, err)
	}
	l.cache.Put(key, value)
	return value, nil
}

// Compact drops the records that were overwritten.
func (l *Log) Compact() error {
	var data []byte
	offsets := map[string]int{}
	for at := 0; at < len(l.data); {
		key, value, size, err := Decode(l.data[at:])
		if err != nil {
			return fmt.Errorf("at %d: %w", at, err)
		}
		if l.offsets[key] == at {
			offsets[key] = len(data)
			data = append(data, Encode(key, value)...)
		}
		at += size
	}
	l.data, l.offsets = data, offsets
	return nil
}

// Size counts the bytes of all records.
func (l *Log) Size() int { return len(l.data) }
