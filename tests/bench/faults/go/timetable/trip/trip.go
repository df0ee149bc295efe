package trip

import (
	"errors"
	"strings"

	"example.org/timetable/clock"
	"example.org/timetable/line"
)

// Leg is a ride on one line.
type Leg struct {
	Line     *line.Line
	From, To string
}

// Plan is a trip with changes, each of which takes some minutes.
type Plan struct {
	Legs   []Leg
	Change int
}

var errEmpty = errors.New("no legs")

// Arrival finds when the trip ends if it begins at a time.
func (p Plan) Arrival(start clock.Time) (clock.Time, error) {
	if len(p.Legs) == 0 {
		return 0, errEmpty
	}
	now := start
	for i, leg := range p.Legs {
		if i > 0 {
			now = now.Add(p.Change)
		}
		departure, err := leg.Line.Next(leg.From, now)
		if err != nil {
			return 0, err
		}
		ride, err := leg.Line.Ride(leg.From, leg.To)
		if err != nil {
			return 0, err
		}
		now = departure.Add(ride)
	}
	return now, nil
}

// Duration counts the minutes of the trip, waiting included.
func (p Plan) Duration(start clock.Time) (int, error) {
	end, err := p.Arrival(start)
	if err != nil {
		return 0, err
	}
	return start.Until(end), nil
}

// Describe names the lines and where one changes.
func (p Plan) Describe() string {
	var parts []string
	for i, leg := range p.Legs {
		if i == 0 {
			parts = append(parts, leg.From)
		}
		parts = append(parts, "("+leg.Line.Name+")", leg.To)
	}
	return strings.Join(parts, " ")
}
