package template

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// strftime formats t as Python's datetime.now().strftime does on Linux in the
// C locale. Such a time has no zone, so %z and %Z print nothing. The flags
// "-", "_", "0", "^" and "#" and a width are glibc's.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		start := i
		var f timeField
		i = f.flags(format, i+1)
		if i >= len(format) {
			b.WriteString(format[start:])
			break
		}
		s, ok := f.format(t, format[i])
		if !ok {
			s = format[start : i+1]
		}
		b.WriteString(s)
	}
	return b.String()
}

// timeField is a conversion with its flags.
type timeField struct {
	pad   byte // '-', '_', '0' or 0
	upper bool
	swap  bool
	width int
}

// flags reads the flags and width at format[i:] and returns where they end.
func (f *timeField) flags(format string, i int) int {
	for ; i < len(format); i++ {
		switch format[i] {
		case '-', '_', '0':
			f.pad = format[i]
			continue
		case '^':
			f.upper = true
			continue
		case '#':
			f.swap = true
			continue
		}
		break
	}
	for ; i < len(format) && format[i] >= '0' && format[i] <= '9'; i++ {
		f.width = min(f.width*10+int(format[i]-'0'), 1024)
	}
	for i < len(format) && (format[i] == 'E' || format[i] == 'O') {
		i++
	}
	return i
}

// number prints n with its usual width and padding, unless flags say else.
func (f timeField) number(n, width int, pad byte) (string, bool) {
	if f.pad != 0 {
		pad = f.pad
	}
	if f.width > 0 {
		width = f.width
	}
	s := strconv.Itoa(n)
	switch pad {
	case '-':
		return s, true
	case '_':
		return strings.Repeat(" ", max(width-len(s), 0)) + s, true
	}
	return strings.Repeat("0", max(width-len(s), 0)) + s, true
}

func (f timeField) text(s string) (string, bool) {
	if f.upper || f.swap && s != "AM" && s != "PM" {
		s = strings.ToUpper(s)
	} else if f.swap {
		s = strings.ToLower(s)
	}
	fill := " "
	if f.pad == '0' {
		fill = "0"
	}
	return strings.Repeat(fill, max(f.width-len(s), 0)) + s, true
}

func (f timeField) format(t time.Time, c byte) (string, bool) {
	if s, ok := composedTimes[c]; ok {
		return f.text(strftime(t, s))
	}
	if s, ok := f.date(t, c); ok {
		return s, true
	}
	hour12 := (t.Hour()+11)%12 + 1
	switch c {
	case 'H':
		return f.number(t.Hour(), 2, '0')
	case 'I':
		return f.number(hour12, 2, '0')
	case 'k':
		return f.number(t.Hour(), 2, '_')
	case 'l':
		return f.number(hour12, 2, '_')
	case 'M':
		return f.number(t.Minute(), 2, '0')
	case 'S':
		return f.number(t.Second(), 2, '0')
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 'p':
		return f.text([]string{"AM", "PM"}[t.Hour()/12])
	case 'P':
		return f.text([]string{"am", "pm"}[t.Hour()/12])
	case 's':
		return strconv.FormatInt(t.Unix(), 10), true
	case 'z', 'Z':
		return "", true
	case 'n':
		return f.text("\n")
	case 't':
		return f.text("\t")
	case '%':
		return f.text("%")
	}
	return "", false
}

// composedTimes are conversions that stand for several others.
var composedTimes = map[byte]string{
	'c': "%a %b %e %H:%M:%S %Y", 'D': "%m/%d/%y", 'F': "%Y-%m-%d", 'r': "%I:%M:%S %p",
	'R': "%H:%M", 'T': "%H:%M:%S", 'x': "%m/%d/%y", 'X': "%H:%M:%S",
}

func (f timeField) date(t time.Time, c byte) (string, bool) {
	isoYear, isoWeek := t.ISOWeek()
	wday := int(t.Weekday())
	switch c {
	case 'a':
		return f.text(t.Weekday().String()[:3])
	case 'A':
		return f.text(t.Weekday().String())
	case 'b', 'h':
		return f.text(t.Month().String()[:3])
	case 'B':
		return f.text(t.Month().String())
	case 'C':
		return f.number(t.Year()/100, 2, '0')
	case 'd':
		return f.number(t.Day(), 2, '0')
	case 'e':
		return f.number(t.Day(), 2, '_')
	case 'g':
		return f.number(isoYear%100, 2, '0')
	case 'G':
		return f.number(isoYear, 1, '0')
	case 'j':
		return f.number(t.YearDay(), 3, '0')
	case 'm':
		return f.number(int(t.Month()), 2, '0')
	case 'u':
		return f.number((wday+6)%7+1, 1, '0')
	case 'U':
		return f.number((t.YearDay()+6-wday)/7, 2, '0')
	case 'V':
		return f.number(isoWeek, 2, '0')
	case 'w':
		return f.number(wday, 1, '0')
	case 'W':
		return f.number((t.YearDay()+6-(wday+6)%7)/7, 2, '0')
	case 'y':
		return f.number(t.Year()%100, 2, '0')
	case 'Y':
		return f.number(t.Year(), 1, '0')
	}
	return "", false
}
