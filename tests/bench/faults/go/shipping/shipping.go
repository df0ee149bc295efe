// Package shipping quotes parcels.
package shipping

import (
	"fmt"
	"strings"

	"example.com/shipping/internal/tariff"
	"example.com/shipping/internal/units"
	"example.com/shipping/internal/zone"
)

type Parcel struct {
	Weight  string
	Country string
	Express bool
}

type Quote struct {
	Cents int
	Zone  string
}

type Service struct {
	rates map[zone.Zone]tariff.Rater
}

func New() *Service {
	steps := tariff.Steps{{500, 300}, {2 * units.Kilogram, 500}, {10 * units.Kilogram, 900}}
	return &Service{rates: map[zone.Zone]tariff.Rater{
		zone.Home: tariff.Flat(400),
		zone.Near: steps,
		zone.Far:  tariff.Surcharge{Rater: steps, Percent: 35},
	}}
}

func (s *Service) Quote(parcels ...Parcel) (Quote, error) {
	var total Quote
	groups, err := grouped(parcels)
	if err != nil {
		return total, err
	}
	names := make([]string, 0, len(groups))
	for _, group := range groups {
		rater := s.rates[group.zone]
		cents := rater.Rate(group.weight)
		if group.express {
			cents = tariff.Surcharge{Rater: rater, Percent: 50}.Rate(group.weight)
		}
		total.Cents += cents
		names = append(names, group.zone.String())
	}
	total.Zone = strings.Join(names, "+")
	return total, nil
}

type group struct {
	zone    zone.Zone
	weight  units.Grams
	express bool
}

// grouped puts parcels for the same zone together.
func grouped(parcels []Parcel) ([]*group, error) {
	var order []*group
	known := map[zone.Zone]*group{}
	for i, parcel := range parcels {
		weight, err := units.Parse(parcel.Weight)
		if err != nil {
			return nil, fmt.Errorf("parcel %d: %w", i+1, err)
		}
		z := zone.Of(parcel.Country)
		g, ok := known[z]
		if !ok {
			g = &group{zone: z}
			known[z] = g
			order = append(order, g)
		}
		g.weight += weight
		g.express = g.express || parcel.Express
	}
	return order, nil
}
