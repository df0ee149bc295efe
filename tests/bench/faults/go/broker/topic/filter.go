// Package topic matches dotted topics against filters such as "orders.*.paid" and "logs.#".
package topic

import (
	"errors"
	"fmt"
	"strings"
)

const (
	one  = "*"
	rest = "#"
)

// ErrBad is wrapped by every error of Parse.
var ErrBad = errors.New("bad filter")

// Filter is a parsed filter.
type Filter struct {
	text  string
	parts []string
}

// Parse reads a filter.
func Parse(text string) (Filter, error) {
	if text == "" {
		return Filter{}, fmt.Errorf("%w: empty", ErrBad)
	}
	parts := strings.Split(text, ".")
	for index, part := range parts {
		switch {
		case part == "":
			return Filter{}, fmt.Errorf("%w: part %d of %q is empty", ErrBad, index+1, text)
		case part == rest && index != len(parts)-1:
			return Filter{}, fmt.Errorf("%w: # must come last in %q", ErrBad, text)
		case len(part) > 1 && strings.ContainsAny(part, "*#"):
			return Filter{}, fmt.Errorf("%w: %q mixes text and wildcards", ErrBad, part)
		}
	}
	return Filter{text: text, parts: parts}, nil
}

// String gives the text that was parsed.
func (f Filter) String() string { return f.text }

// Matches tells whether a topic passes the filter.
func (f Filter) Matches(name string) bool {
	words := strings.Split(name, ".")
	for index, part := range f.parts {
		if part == rest {
			return len(words) >= index
		}
		if index >= len(words) {
			return false
		}
		if part != one && part != words[index] {
			return false
		}
	}
	return len(words) == len(f.parts)
}

// Narrower tells whether f is more specific than other.
func (f Filter) Narrower(other Filter) bool {
	for index := range f.parts {
		if index >= len(other.parts) {
			return true
		}
		left, right := rank(f.parts[index]), rank(other.parts[index])
		if left != right {
			return left > right
		}
	}
	return false
}

func rank(part string) int {
	switch part {
	case rest:
		return 0
	case one:
		return 1
	}
	return 2
}
