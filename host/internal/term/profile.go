package term

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Defaults where a terminal does not say.
const (
	defaultWidth  = 80
	defaultHeight = 24
	minWidth      = 40
)

// Profile says what an output can show.
type Profile struct {
	TTY    bool // a person reads it: redraw, relative times, cut to width
	Color  bool
	Glyphs bool // Unicode marks and lines; ASCII ones otherwise
	Width  int  // columns; 0 = no limit
	Height int
}

// Detect finds out what the output behind fd can show. env looks environment variables up; noColor is
// the caller's own switch and wins over all of them.
//
// NO_COLOR, CLICOLOR=0 and TERM=dumb switch colour off; CLICOLOR_FORCE switches it on where there is no
// terminal; DRAWSPAN_FORCE_TTY treats the output as one, of so many columns when it is a number.
func Detect(fd uintptr, env func(string) string, noColor bool) Profile {
	p := Profile{Glyphs: glyphs(env)}
	if ws, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
		p.TTY, p.Width, p.Height = true, int(ws.Col), int(ws.Row)
	}
	if force := env("DRAWSPAN_FORCE_TTY"); force != "" && force != "0" {
		p.TTY = true
		if n, err := strconv.Atoi(force); err == nil && n > 1 {
			p.Width = n
		}
	}
	if p.TTY && p.Width == 0 {
		p.Width = defaultWidth
	}
	if p.TTY {
		p.Width = max(p.Width, minWidth)
	}
	if p.Height == 0 {
		p.Height = defaultHeight
	}
	p.Color = color(p.TTY, env, noColor)
	return p
}

func color(tty bool, env func(string) string, off bool) bool {
	switch {
	case off || env("NO_COLOR") != "":
		return false
	case env("CLICOLOR_FORCE") != "" && env("CLICOLOR_FORCE") != "0":
		return true
	case env("CLICOLOR") == "0" || env("TERM") == "dumb":
		return false
	}
	return tty
}

// glyphs trusts a terminal with Unicode unless it is a dumb one or the locale names another encoding.
func glyphs(env func(string) string) bool {
	if env("TERM") == "dumb" {
		return false
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(env(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}

// Redraws reports whether the cursor may be moved.
func (p Profile) Redraws(env func(string) string) bool { return p.TTY && env("TERM") != "dumb" }
