package command

import "errors"

// Exit is one way a command can end. Scripts rely on the numbers: they never change their
// meaning, and all programs of the project that mean the same have the same number.
type Exit struct {
	Code          int
	Name, Meaning string
}

// The exits that programs share.
var (
	Done     = Exit{0, "done", "done"}
	Failed   = Exit{1, "failed", "another failure"}
	Misused  = Exit{2, "usage", "the command line is wrong"}
	Config   = Exit{3, "config", "the configuration is wrong, or an insecure choice is not accepted in it"}
	NotFound = Exit{4, "not-found", "no such file or folder"}
	NoRoom   = Exit{10, "no-room", "no room or no permission"}
	Exists   = Exit{13, "exists", "something is there already"}
)

// A Failure is how a command ends when it does not end well. The hint, which may be "", says
// what to do.
type Failure struct {
	Exit    Exit
	Message string
	Hint    string
}

// Error gives the message.
func (f *Failure) Error() string { return f.Message }

// Fail ends a command.
func Fail(e Exit, message, hint string) error { return &Failure{e, message, hint} }

// Usage says that the command line is wrong.
func Usage(message, hint string) error { return &Failure{Misused, message, hint} }

// BadConfig says that the configuration is wrong.
func BadConfig(message, hint string) error { return &Failure{Config, message, hint} }

// An Explanation says how a command ends after an error that is Is.
type Explanation struct {
	Is   error
	Exit Exit
	Hint string
}

// Explain gives the first explanation that fits err; without one it is Failed.
func Explain(err error, all []Explanation) *Failure {
	for _, e := range all {
		if errors.Is(err, e.Is) {
			return &Failure{e.Exit, err.Error(), e.Hint}
		}
	}
	return &Failure{Failed, err.Error(), ""}
}
