package lighthouse

import (
	"strings"
	"testing"
	"time"
)

func pattern(l Light, seconds int) string {
	var out strings.Builder
	for second := 0; second < seconds; second++ {
		if l.Lit(time.Duration(second) * time.Second) {
			out.WriteByte('*')
		} else {
			out.WriteByte('.')
		}
	}
	return out.String()
}

func TestLit(t *testing.T) {
	cases := []struct {
		name  string
		light Light
		want  string
	}{
		{"one flash", Light{1, 5 * time.Second}, "*...."},
		{"three flashes", Light{3, 10 * time.Second}, "*.*.*....."},
		{"an odd period repeats", Light{2, 7 * time.Second}, "*.*....*.*....*.*...."},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := pattern(c.light, len(c.want)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLitWithinASecond(t *testing.T) {
	light := Light{1, 4 * time.Second}
	if !light.Lit(900*time.Millisecond) || light.Lit(1100*time.Millisecond) {
		t.Error("a flash lasts exactly one second")
	}
}
