// Package clock counts the minutes of a day.
package clock

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Time is a number of minutes since midnight.
type Time int

const day = 24 * 60

var ErrFormat = errors.New("want hh:mm")

// Parse reads a time such as 07:30.
func Parse(text string) (Time, error) {
	hours, minutes, found := strings.Cut(text, ":")
	if !found {
		return 0, fmt.Errorf("%q: %w", text, ErrFormat)
	}
	h, err := number(hours, 24)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", text, err)
	}
	m, err := number(minutes, 60)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", text, err)
	}
	return Time(h*60 + m), nil
}

func number(text string, limit int) (int, error) {
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 || value >= limit {
		return 0, fmt.Errorf("%q is not below %d", text, limit)
	}
	return value, nil
}

// Add moves a time on, over midnight where it has to.
func (t Time) Add(minutes int) Time {
	return Time(((int(t)+minutes)%day + day) % day)
}

// Until counts the minutes up to the next time that the clock shows other.
func (t Time) Until(other Time) int {
	return (int(other) - int(t) + day) % day
}

func (t Time) String() string {
	return fmt.Sprintf("%02d:%02d", int(t)/60, int(t)%60)
}
