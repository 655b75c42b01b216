package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// Config says where the Hub is, where its files are kept and who asks.
type Config struct {
	// Endpoint is the Hub's URL without a slash at the end.
	Endpoint string
	// Cache is the directory of the repositories.
	Cache string
	// Token is sent to the endpoint's host, and to no other; "" is none.
	Token string
	// TokenFrom is where Token came from or would be looked for, for messages.
	TokenFrom string
	// Offline forbids the network.
	Offline bool
}

// DefaultEndpoint is the Hub without HF_ENDPOINT.
const DefaultEndpoint = "https://huggingface.co"

// FromEnv reads the variables that huggingface_hub reads, with its defaults:
// HF_ENDPOINT, HF_HOME, XDG_CACHE_HOME, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
// HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN,
// HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE. An empty variable counts as unset.
func FromEnv(getenv func(string) string) (Config, error) {
	first := func(fallback string, names ...string) string {
		for _, name := range names {
			if v := getenv(name); v != "" {
				return v
			}
		}
		return fallback
	}
	expand := func(path string) string { return expandPath(path, getenv) }
	home := expand(first(filepath.Join(first("~/.cache", "XDG_CACHE_HOME"), "huggingface"), "HF_HOME"))
	c := Config{
		Endpoint: strings.TrimRight(first(DefaultEndpoint, "HF_ENDPOINT"), "/"),
		Cache:    expand(first(filepath.Join(home, "hub"), "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")),
		Offline:  isTrue(first("", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")),
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return c, fmt.Errorf("HF_ENDPOINT: %q is not a URL as %s", c.Endpoint, DefaultEndpoint)
	}
	if strings.HasPrefix(c.Cache, "~/") {
		return c, fmt.Errorf("the Hub's cache would be %s, but HOME is not set: HF_HOME is another place", c.Cache)
	}
	if c.Cache, err = filepath.Abs(c.Cache); err != nil {
		return c, fmt.Errorf("the Hub's cache: %w", err)
	}
	path := expand(first(filepath.Join(home, "token"), "HF_TOKEN_PATH"))
	c.TokenFrom = path
	if isTrue(getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		c.TokenFrom = "HF_HUB_DISABLE_IMPLICIT_TOKEN"
		return c, nil
	}
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if c.Token = strings.TrimSpace(getenv(name)); c.Token != "" {
			c.TokenFrom = name
			return c, checkToken(c)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("the Hub's token: %w", err)
	}
	c.Token = strings.TrimSpace(string(data))
	return c, checkToken(c)
}

// checkToken refuses what cannot stand in a header, without showing it.
func checkToken(c Config) error {
	for _, r := range c.Token {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("the token of %s has characters that no token has", c.TokenFrom)
		}
	}
	return nil
}

func isTrue(v string) bool {
	switch strings.ToUpper(v) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expandPath puts in the home directory for ~, if it is known, and the values of $NAME
// and ${NAME}; unset ones stay as they are.
func expandPath(path string, getenv func(string) string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		home := getenv("HOME")
		if u, err := user.Current(); home == "" && err == nil {
			home = u.HomeDir
		}
		if home != "" {
			path = home + path[1:]
		}
	}
	return os.Expand(path, func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return "$" + name
	})
}
