package zone

import "strings"

type Zone int

const (
	Home Zone = iota
	Near
	Far
)

var near = map[string]bool{"FR": true, "BE": true, "NL": true, "DE": true}

// Of tells the zone of a country code.
func Of(country string) Zone {
	code := strings.ToUpper(strings.TrimSpace(country))
	switch {
	case code == "" || code == "LU":
		return Home
	case near[code]:
		return Near
	}
	return Far
}

func (z Zone) String() string {
	return [...]string{"home", "near", "far"}[z]
}
