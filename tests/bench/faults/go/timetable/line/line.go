package line

import (
	"fmt"
	"sort"

	"example.org/timetable/clock"
)

// Stop is a place with the minutes from the stop before it.
type Stop struct {
	Name  string
	After int
}

// Line runs over stops, again and again.
type Line struct {
	Name   string
	Stops  []Stop
	Starts []clock.Time
}

// offset counts the minutes from the first stop to the named one.
func (l *Line) offset(name string) (int, error) {
	total := 0
	for _, stop := range l.Stops {
		total += stop.After
		if stop.Name == name {
			return total, nil
		}
	}
	return 0, fmt.Errorf("line %s does not stop at %s", l.Name, name)
}

// Next finds the first departure from a stop at or after a time.
func (l *Line) Next(name string, now clock.Time) (clock.Time, error) {
	offset, err := l.offset(name)
	if err != nil {
		return 0, err
	}
	times := l.departures(offset)
	index := sort.Search(len(times), func(i int) bool { return times[i] >= now })
	if index == len(times) {
		index = 0
	}
	return times[index], nil
}

func (l *Line) departures(offset int) []clock.Time {
	times := make([]clock.Time, 0, len(l.Starts))
	for _, start := range l.Starts {
		times = append(times, start.Add(offset))
	}
	sort.Slice(times, func(i, j int) bool { return times[i] < times[j] })
	return times
}

// Ride tells how long it takes from one stop to a later one.
func (l *Line) Ride(from, to string) (int, error) {
	begin, err := l.offset(from)
	if err != nil {
		return 0, err
	}
	end, err := l.offset(to)
	if err != nil {
		return 0, err
	}
	if end < begin {
		return 0, fmt.Errorf("line %s does not go from %s to %s", l.Name, from, to)
	}
	return end - begin, nil
}
