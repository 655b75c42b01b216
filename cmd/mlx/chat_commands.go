package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/atomicfile"
	"github.com/mlxgo/mlx/internal/llm"
)

// listCommands shows the commands of mlx_lm.chat.
func (c *conversation) listCommands() {
	fmt.Fprint(c.s.err, "The command list:\n- 'q' to exit\n- 'r' to reset the chat\n- 'h' to display these commands\n- '/help' to display all commands\n")
}

const chatHelp = `/help              this list
/reset             forget the chat, but not the system message
/system [TEXT]     set the system message, - for none; without TEXT show it
/save FILE         write the chat as JSON
/load FILE         go on with a chat from such a file, or from a list of messages
/set [NAME VALUE]  set an option as temp, top-p or max-tokens; without NAME show them
/retry             answer the last message once more
/quit              end
A line that ends in \ goes on in the next one; """ begins and ends several lines.
Ctrl-C stops an answer. // at the beginning of a message stands for /.
`

// chatCommands are the commands, by their names.
var chatCommands = map[string]func(c *conversation, ctx context.Context, rest string) error{
	"help":   (*conversation).help,
	"reset":  (*conversation).reset,
	"system": (*conversation).setSystem,
	"save":   (*conversation).save,
	"load":   (*conversation).load,
	"set":    (*conversation).setOption,
	"retry":  (*conversation).retry,
}

// command does what a line that begins with a slash says.
func (c *conversation) command(ctx context.Context, line string) (done bool, err error) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(line, "/"), " ")
	name, rest = strings.TrimSpace(name), strings.TrimSpace(rest)
	if name == "quit" || name == "exit" || name == "bye" {
		return true, nil
	}
	do := chatCommands[name]
	if do == nil {
		return false, fmt.Errorf("there is no command /%s%s", name, didYouMean(name, append(slices.Collect(maps.Keys(chatCommands)), "quit"), "/"))
	}
	return false, do(c, ctx, rest)
}

func (c *conversation) help(context.Context, string) error {
	_, err := fmt.Fprint(c.s.err, chatHelp)
	return err
}

func (c *conversation) reset(context.Context, string) error {
	c.turns, c.answers = nil, 0
	c.s.note("the chat is forgotten")
	return nil
}

func (c *conversation) setSystem(_ context.Context, text string) error {
	switch text {
	case "":
		if c.system == "" {
			c.s.note("there is no system message")
		} else {
			c.s.note("the system message is: %s", visible(c.system))
		}
		return nil
	case "-":
		c.system = ""
		c.s.note("there is no system message now")
		return nil
	}
	c.system = text
	c.s.note("the system message is set")
	return nil
}

// chatFile is a saved chat. mlx chat-template takes it too.
type chatFile struct {
	Model    string `json:"model"`
	Messages []turn `json:"messages"`
}

func (c *conversation) save(_ context.Context, path string) error {
	if path == "" {
		return errors.New("/save needs the name of a file")
	}
	f := chatFile{Model: c.o.Model, Messages: []turn{}}
	if c.system != "" {
		f.Messages = append(f.Messages, turn{"system", c.system})
	}
	f.Messages = append(f.Messages, c.turns...)
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(path, false, func(f *os.File) error {
		_, err := f.Write(append(data, '\n'))
		return err
	}); err != nil {
		return err
	}
	c.s.note("saved %s to %s", plural(len(f.Messages), "message"), path)
	return nil
}

func (c *conversation) load(_ context.Context, path string) error {
	if path == "" {
		return errors.New("/load needs the name of a file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := parseChatFile(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	system, turns := "", f.Messages
	if len(turns) > 0 && turns[0].Role == "system" {
		system, turns = turns[0].Content, turns[1:]
	}
	if n := len(turns); n > 0 && turns[n-1].Role == "user" {
		return fmt.Errorf("%s: the last message has no answer", path)
	}
	c.system, c.turns, c.answers = system, turns, uint64(len(turns)/2)
	c.s.note("loaded %s from %s", plural(len(f.Messages), "message"), path)
	if f.Model != "" && f.Model != c.o.Model {
		c.s.note("the chat was with %s", f.Model)
	}
	return nil
}

// parseChatFile reads an object of chatFile, or a list of messages.
func parseChatFile(data []byte) (chatFile, error) {
	var f chatFile
	var err error
	if strings.HasPrefix(strings.TrimSpace(string(data)), "[") {
		err = json.Unmarshal(data, &f.Messages)
	} else {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return f, fmt.Errorf("this is not a chat: %w", llm.JSONError(err))
	}
	if f.Messages == nil {
		return f, errors.New("this is not a chat: there are no messages")
	}
	for i, m := range f.Messages {
		if m.Role != "user" && m.Role != "assistant" && (m.Role != "system" || i > 0) {
			return f, fmt.Errorf("message %d has the role %q", i+1, m.Role)
		}
	}
	return f, nil
}

func (c *conversation) setOption(_ context.Context, rest string) error {
	names := changeableNames()
	if rest == "" {
		return c.showOptions(names)
	}
	name, value, _ := strings.Cut(rest, " ")
	if name = strings.TrimLeft(name, "-"); !slices.Contains(names, name) {
		return fmt.Errorf("/set has no option %s%s", name, didYouMean(name, names, ""))
	}
	value = strings.TrimSpace(value)
	if _, isList := c.option(name).([]string); value == "" && !isList && name != "chat-template-config" {
		c.s.note("%s is %v", name, c.option(name))
		return nil
	}
	if err := c.o.set(name, value); err != nil {
		return err
	}
	c.s.note("%s is %v", name, c.option(name))
	return nil
}

func (c *conversation) showOptions(names []string) error {
	w := newTable(c.s.err)
	for _, name := range names {
		w.line(name, "%v", c.option(name))
	}
	return w.Flush()
}

// option is the value that an answer is made with.
func (c *conversation) option(name string) any {
	sampling, err := c.o.sampling()
	if err == nil {
		switch name { // the built-in model has its own
		case "temp":
			return sampling.Temperature
		case "top-p":
			return sampling.TopP
		}
	}
	for _, of := range []any{*c.o, c.o.Sampling} {
		v := reflect.ValueOf(of)
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("mapstructure") == name {
				return v.Field(i).Interface()
			}
		}
	}
	return nil
}

// retry drops the last answer and makes another.
func (c *conversation) retry(ctx context.Context, _ string) error {
	n := len(c.turns)
	if n == 0 || c.turns[n-1].Role != "assistant" {
		return errors.New("there is no answer yet")
	}
	last := c.turns[n-1]
	c.turns = c.turns[:n-1]
	answer, err := c.speak(ctx)
	if err != nil || answer == "" {
		c.turns = append(c.turns, last)
		return err
	}
	c.turns = append(c.turns, turn{"assistant", answer})
	return nil
}
