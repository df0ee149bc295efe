package tariff

import (
	"sort"

	"example.com/shipping/internal/units"
)

// Rater prices a weight.
type Rater interface {
	Rate(weight units.Grams) int
}

type Step struct {
	UpTo  units.Grams
	Price int
}

type Steps []Step

func (s Steps) Rate(weight units.Grams) int {
	i := sort.Search(len(s), func(i int) bool { return s[i].UpTo >= weight })
	if i == len(s) {
		last := s[len(s)-1]
		over := weight - last.UpTo
		return last.Price + int((over+units.Kilogram-1)/units.Kilogram)*150
	}
	return s[i].Price
}

type Flat int

func (f Flat) Rate(units.Grams) int { return int(f) }

// Surcharge adds percent to what another rater says, rounded up.
type Surcharge struct {
	Rater
	Percent int
}

func (s Surcharge) Rate(weight units.Grams) int {
	base := s.Rater.Rate(weight)
	return base + (base*s.Percent+99)/100
}
