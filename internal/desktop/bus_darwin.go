package desktop

import (
	"context"
	"fmt"
	"os/exec"
)

// metered: the platform tells only programs that use its own network library.
func (d Desktop) metered(context.Context) Answer { return Unknown }

// tell goes through AppleScript, which takes both texts as arguments: neither can become a part of
// the script.
func (d Desktop) tell(ctx context.Context, m Message) error {
	cmd := exec.CommandContext(ctx, "/usr/bin/osascript",
		"-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run", m.Title, m.Text)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("telling the desktop: %w", err)
	}
	return nil
}
