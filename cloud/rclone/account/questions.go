package account

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rclone/rclone/fs"
)

// questions are rclone's, in our words.
var questions = map[string]string{
	"config_2fa":       "The six digits shown on your Apple devices (or type sms to get them as a text message): ",
	"config_2fa_sms":   "The six digits of the text message: ",
	"config_again":     "The six digits: ",
	"config_2fa_phone": "Which number gets the text message?",
	"config_driveid":   "Which drive?",
}

// answer asks a question of rclone's flow; nil is no question.
func (f *flow) answer(ctx context.Context, q *fs.Option) (string, error) {
	if q == nil {
		return "", nil
	}
	text, ok := questions[q.Name]
	if !ok {
		text, _, _ = strings.Cut(q.Help, "\n")
		text += ": "
	}
	if len(q.Examples) > 0 {
		return f.choose(ctx, text, q.Examples)
	}
	if q.IsPassword {
		s, err := f.AskSecret(ctx, text)
		defer s.Wipe()
		return s.reveal(), err
	}
	answer, err := f.Ask(ctx, text)
	if err == nil && answer == "" {
		err = ErrUnanswered
	}
	// People copy codes as they are shown, in two groups of three.
	return strings.ReplaceAll(answer, " ", ""), err
}

// choose shows a numbered list. Of one there is nothing to choose.
func (f *flow) choose(ctx context.Context, text string, from fs.OptionExamples) (string, error) {
	if len(from) == 1 {
		return from[0].Value, nil
	}
	list := ""
	for i, e := range from {
		list += fmt.Sprintf("  %d  %s\n", i+1, e.Help)
	}
	f.Tell(text + "\n" + list)
	answer, err := f.Ask(ctx, fmt.Sprintf("1 to %d: ", len(from)))
	if err != nil {
		return "", err
	}
	if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(from) {
		return from[n-1].Value, nil
	}
	if i := slices.IndexFunc(from, func(e fs.OptionExample) bool { return e.Value == answer }); i >= 0 {
		return answer, nil
	}
	return "", ErrUnanswered
}
