// Package lighthouse tells what a light at sea is saying.
package lighthouse

import "time"

// Light is a light's character: so many flashes, each a second long with a second of dark after it, and then
// dark for the rest of the period.
type Light struct {
	Flashes int
	Period  time.Duration
}

// Lit says whether the light is on at a time since its first flash began. The pattern repeats with every period.
func (l Light) Lit(at time.Duration) bool {
	second := int(at / time.Second)
	return second%2 == 0 && second/2 <= l.Flashes
}
