// Package cli holds what a command needs to talk with a person: a terminal
// that hides what is typed, questions, one line of progress, sizes, ages and
// tables in plain words, and messages of one shape.
//
// Three rules hold for everything here:
//
//   - Secrets go to the terminal and nowhere else. [Terminal] opens the
//     controlling terminal itself, so a redirected standard output or standard
//     error never receives them, and what it showed it erases.
//   - Names of files come from strangers (a chat partner chooses the name of the
//     photo he sends). [Name] quotes them, so that none can move the cursor,
//     change colours or retitle the window of the person who reads them.
//   - Messages start in lower case, end without a full stop, and are followed by
//     a hint that says what to do next.
package cli
