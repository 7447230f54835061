package term

import (
	"fmt"
	"io"
	"strings"
)

// Live redraws a block of lines in place, below whatever was printed before.
type Live struct {
	w      io.Writer
	height int
	shown  int
	last   string
}

// NewLive draws to w, a terminal with the profile's height.
func NewLive(w io.Writer, p Profile) *Live { return &Live{w: w, height: max(p.Height, 4)} }

// Draw replaces the block with lines. A block taller than the screen keeps its head and its tail. The
// lines must be clean and cut to width, or the cursor's count is off.
func (l *Live) Draw(lines []string) error {
	if room := l.height - 1; len(lines) > room {
		head := room / 3
		kept := append([]string(nil), lines[:head]...)
		kept = append(kept, fmt.Sprintf("… %d more lines …", len(lines)-room+1))
		lines = append(kept, lines[len(lines)-(room-head-1):]...)
	}
	return l.replace(lines)
}

func (l *Live) replace(lines []string) error {
	frame := strings.Join(lines, "\n")
	if frame == l.last && l.shown == len(lines) {
		return nil
	}
	var b strings.Builder
	if l.shown > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", l.shown)
	}
	for _, line := range lines {
		b.WriteString("\x1b[2K")
		b.WriteString(line)
		b.WriteByte('\n')
	}
	// What the block before had in excess is erased below.
	b.WriteString("\x1b[J")
	l.shown, l.last = len(lines), frame
	if _, err := io.WriteString(l.w, b.String()); err != nil {
		return fmt.Errorf("draw: %w", err)
	}
	return nil
}

// Finish draws the block for the last time, whole, and leaves it standing.
func (l *Live) Finish(lines []string) error {
	err := l.replace(lines)
	l.shown, l.last = 0, ""
	return err
}
