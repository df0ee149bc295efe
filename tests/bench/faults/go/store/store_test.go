package store

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func filled(cached int) *Log {
	l := NewLog(cached)
	for _, pair := range strings.Fields("a=1 b=2 c=3 a=4") {
		key, value, _ := strings.Cut(pair, "=")
		l.Set(key, value)
	}
	return l
}

func expect(t *testing.T, l *Log, pairs string) {
	t.Helper()
	for _, pair := range strings.Fields(pairs) {
		key, want, _ := strings.Cut(pair, "=")
		got, err := l.Get(key)
		if err != nil {
			t.Fatalf("Get(%s): %v", key, err)
		}
		if got != want {
			t.Errorf("Get(%s) = %s, want %s", key, got, want)
		}
	}
}

func TestReadsBack(t *testing.T) { expect(t, filled(2), "a=4 b=2 c=3") }

func TestCacheSavesReads(t *testing.T) {
	l := filled(3)
	expect(t, l, "a=4 b=2 c=3 b=2")
	if l.reads != 0 {
		t.Errorf("%d reads, want none", l.reads)
	}
}

func TestCompact(t *testing.T) {
	l := filled(1)
	if err := l.Compact(); err != nil {
		t.Fatal(err)
	}
	if got, want := l.Size(), 3*(headerSize+2); got != want {
		t.Errorf("size %d after compaction, want %d", got, want)
	}
	expect(t, l, "b=2 c=3 a=4")
}

func TestOrderOfUse(t *testing.T) {
	c := NewLRU[string, int](3, nil)
	c.Put("a", 1)
	c.Put("b", 2)
	c.Put("c", 3)
	c.Get("a")
	c.Put("d", 4)
	if got, want := c.Keys(), []string{"d", "a", "c"}; !reflect.DeepEqual(got, want) {
		t.Errorf("Keys() = %v, want %v", got, want)
	}
}

func TestCorrupt(t *testing.T) {
	buf := Encode("key", "value")
	buf[len(buf)-1] ^= 1
	if _, _, _, err := Decode(buf); !errors.Is(err, ErrCorrupt) {
		t.Errorf("err = %v, want %v", err, ErrCorrupt)
	}
	if _, _, _, err := Decode(buf[:headerSize+2]); !errors.Is(err, ErrShort) {
		t.Errorf("err = %v, want %v", err, ErrShort)
	}
}
