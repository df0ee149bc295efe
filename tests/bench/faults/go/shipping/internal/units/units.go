package units

import (
	"fmt"
	"strconv"
	"strings"
)

type Grams int64

const (
	Gram     Grams = 1
	Kilogram       = 1000 * Gram
	Pound    Grams = 454
)

var suffixes = []struct {
	name string
	unit Grams
}{
	{"kg", Kilogram},
	{"lb", Pound},
	{"g", Gram},
}

// Parse reads weights like "2.5kg" or "300 g".
func Parse(text string) (Grams, error) {
	text = strings.TrimSpace(strings.ToLower(text))
	for _, suffix := range suffixes {
		if number, ok := cut(text, suffix.name); ok {
			value, err := strconv.ParseFloat(number, 64)
			if err != nil {
				return 0, fmt.Errorf("units: bad number %q", number)
			}
			return Grams(value*float64(suffix.unit) + 0.5), nil
		}
	}
	return 0, fmt.Errorf("units: no unit in %q", text)
}

func cut(text, suffix string) (string, bool) {
	if !strings.HasSuffix(text, suffix) {
		return text, false
	}
	return strings.TrimSpace(text[:len(text)-len(suffix)]), true
}

func (g Grams) String() string {
	if g >= Kilogram && g%100 == 0 {
		return strconv.FormatFloat(float64(g)/float64(Kilogram), 'f', -1, 64) + " kg"
	}
	return strconv.FormatInt(int64(g), 10) + " g"
}
