package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// maxLine bounds a typed line, in bytes.
const maxLine = 100

// play reads what a person types until ctx ends or a server does. The end of in is
// not the end of the network: a devnet in the background has nobody at its keyboard.
func (n *network) play(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := make(chan string)
	go func() {
		s := bufio.NewScanner(in)
		s.Buffer(make([]byte, maxLine), maxLine)
		for s.Scan() {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-n.failed:
			return err
		case line := <-lines:
			if err := n.obey(ctx, line, out); err != nil {
				fmt.Fprintf(out, "devnet: %v\n", err)
			}
		}
	}
}

// obey does what a line says: stop N, start N, status.
func (n *network) obey(ctx context.Context, line string, out io.Writer) error {
	words := strings.Fields(line)
	switch {
	case len(words) == 0:
		return nil
	case len(words) == 1 && words[0] == "status":
		n.table(ctx, out)
		return nil
	case len(words) != 2 || words[0] != "stop" && words[0] != "start":
		return errors.New("type stop N, start N or status")
	}
	number, err := strconv.Atoi(words[1])
	if err != nil || number < 1 || number > len(n.replicas) {
		return fmt.Errorf("there is no replica %q", words[1])
	}
	r := n.replicas[number-1]
	switch {
	case words[0] == "start" && r.process == nil:
		err = r.start(ctx)
	case words[0] == "stop" && r.process != nil:
		err = r.stop()
	default:
		return fmt.Errorf("replica %d is that already", number)
	}
	if err == nil {
		n.table(ctx, out)
	}
	return err
}

// table shows the fleet as one of its running replicas sees it.
func (n *network) table(ctx context.Context, out io.Writer) {
	for _, r := range n.replicas {
		if r.process == nil {
			continue
		}
		t := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
		fmt.Fprintln(t, "  replica\tdata center\trole\tterm\tapplied\tanswers")
		for _, m := range r.server.Status(ctx).Members {
			fmt.Fprintf(t, "  %d\t%s\t", m.Number, m.DataCenter)
			if m.Report == nil {
				fmt.Fprintln(t, "away\t\t\tno")
				continue
			}
			fmt.Fprintf(t, "%s\t%d\t%d\t%s\n", m.Report.Role, m.Report.Term, m.Report.Applied, answers(m.Report.Ready))
		}
		t.Flush() // an error is the terminal's, which is gone
		return
	}
	fmt.Fprintln(out, "  no replica runs")
}

func answers(ready bool) string {
	if ready {
		return "yes"
	}
	return "no"
}
