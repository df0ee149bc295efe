package clock

import "testing"

func mustParse(t *testing.T, text string) Time {
	t.Helper()
	time, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return time
}

func TestParse(t *testing.T) {
	for text, want := range map[string]Time{"00:00": 0, "07:30": 450, "23:59": 1439} {
		t.Run(text, func(t *testing.T) {
			if got := mustParse(t, text); got != want {
				t.Errorf("got %d, want %d", got, want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"", "7", "24:00", "07:60", "-1:00", "x:y"} {
		if time, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", text, time)
		}
	}
}

func TestOverMidnight(t *testing.T) {
	late := mustParse(t, "23:50")
	if got := late.Add(20).String(); got != "00:10" {
		t.Errorf("late.Add(20) = %s, want 00:10", got)
	}
	if got := late.Until(mustParse(t, "00:10")); got != 20 {
		t.Errorf("late.Until(00:10) = %d, want 20", got)
	}
}
