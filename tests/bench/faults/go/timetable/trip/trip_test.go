package trip

import (
	"testing"

	"example.org/timetable/clock"
	"example.org/timetable/line"
)

func at(text string) clock.Time {
	time, err := clock.Parse(text)
	if err != nil {
		panic(err)
	}
	return time
}

func network() (*line.Line, *line.Line) {
	tram := &line.Line{
		Name:   "tram",
		Stops:  []line.Stop{{Name: "harbour"}, {Name: "market", After: 7}, {Name: "station", After: 5}},
		Starts: []clock.Time{at("07:00"), at("07:20"), at("23:55")},
	}
	train := &line.Line{
		Name:   "train",
		Stops:  []line.Stop{{Name: "station"}, {Name: "lake", After: 30}},
		Starts: []clock.Time{at("07:15"), at("08:15")},
	}
	return tram, train
}

func assertArrival(t *testing.T, plan Plan, start, want string) {
	t.Helper()
	got, err := plan.Arrival(at(start))
	if err != nil {
		t.Fatalf("Arrival(%s): %v", start, err)
	}
	if got != at(want) {
		t.Errorf("Arrival(%s) = %v, want %s", start, got, want)
	}
}

func TestOneLeg(t *testing.T) {
	tram, _ := network()
	assertArrival(t, Plan{Legs: []Leg{{tram, "market", "station"}}}, "07:07", "07:12")
}

func TestChange(t *testing.T) {
	tram, train := network()
	plan := Plan{Legs: []Leg{{tram, "harbour", "station"}, {train, "station", "lake"}}, Change: 4}
	assertArrival(t, plan, "06:50", "08:45")
}

func TestNight(t *testing.T) {
	tram, _ := network()
	plan := Plan{Legs: []Leg{{tram, "harbour", "station"}}}
	assertArrival(t, plan, "23:00", "00:07")
	minutes, err := plan.Duration(at("23:00"))
	if err != nil || minutes != 67 {
		t.Errorf("Duration = %d, %v, want 67", minutes, err)
	}
}

func TestDescribe(t *testing.T) {
	tram, train := network()
	plan := Plan{Legs: []Leg{{tram, "harbour", "station"}, {train, "station", "lake"}}}
	if got, want := plan.Describe(), "harbour (tram) station (train) lake"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWrongWay(t *testing.T) {
	tram, _ := network()
	if _, err := (Plan{Legs: []Leg{{tram, "station", "harbour"}}}).Arrival(at("07:00")); err == nil {
		t.Error("a ride against the line's direction is accepted")
	}
}
