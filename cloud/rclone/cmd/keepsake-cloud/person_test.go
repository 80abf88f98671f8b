package main

import "testing"

// A provider's text, as the list of a person's phones, is shown; the terminal obeys nothing of it.
func TestWhatACloudTellsIsPlain(t *testing.T) {
	text := "Where to?\n  1  \x1b[2J\u009b2J+49 ** 12\nOne of \x07these: "
	if got, want := fit(text, 80), "Where to?\n  1  ?[2J?2J+49 ** 12\nOne of ?these: "; got != want {
		t.Errorf("told %q", got)
	}
}
