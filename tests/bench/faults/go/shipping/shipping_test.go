package shipping

import "testing"

func mustQuote(t *testing.T, parcels ...Parcel) Quote {
	t.Helper()
	quote, err := New().Quote(parcels...)
	if err != nil {
		t.Fatalf("Quote(%v): %v", parcels, err)
	}
	return quote
}

func TestQuote(t *testing.T) {
	tests := []struct {
		name    string
		parcels []Parcel
		want    Quote
	}{
		{"home is flat", []Parcel{{Weight: "9kg"}}, Quote{400, "home"}},
		{"light and near", []Parcel{{Weight: "500 g", Country: "fr"}}, Quote{300, "near"}},
		{"a bit more", []Parcel{{Weight: "501g", Country: "FR"}}, Quote{500, "near"}},
		{"heavy", []Parcel{{Weight: "11.2kg", Country: "DE"}}, Quote{1200, "near"}},
		{"far costs more", []Parcel{{Weight: "1lb", Country: "JP"}}, Quote{405, "far"}},
		{"express", []Parcel{{Weight: "1kg", Country: "BE", Express: true}}, Quote{750, "near"}},
		{"together", []Parcel{{Weight: "1.5kg", Country: "NL"}, {Weight: "1.5kg", Country: "DE"}}, Quote{900, "near"}},
		{"apart", []Parcel{{Weight: "1kg", Country: "NL"}, {Weight: "1kg"}}, Quote{900, "near+home"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustQuote(t, tt.parcels...); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestBadWeight(t *testing.T) {
	_, err := New().Quote(Parcel{Weight: "1kg"}, Parcel{Weight: "x g"})
	if err == nil || err.Error() != `parcel 2: units: bad number "x"` {
		t.Fatalf("unexpected error: %v", err)
	}
}
