package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an answer of the Hub that is none of the good ones.
type StatusError struct {
	Code    int
	Kind    string // the X-Error-Code, as GatedRepo
	Message string // the X-Error-Message
	Host    string
	after   time.Duration // what Retry-After asks for
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.Host, e.Code, http.StatusText(e.Code))
	if e.Message != "" {
		text += " (" + e.Message + ")"
	}
	return text
}

// passing reports whether the same request may succeed later.
func (e *StatusError) passing() bool {
	switch e.Code {
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return e.Code >= 500 && e.Code != http.StatusNotImplemented
}

// printable cuts text from outside to a line of at most 200 characters.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) || r == 0xfffd {
			return ' '
		}
		return r
	}, text)
	if r := []rune(strings.TrimSpace(text)); len(r) > 200 {
		return string(r[:200]) + "..."
	} else {
		return string(r)
	}
}

func statusError(resp *http.Response) *StatusError {
	return &StatusError{
		Code: resp.StatusCode, Kind: printable(resp.Header.Get("X-Error-Code")),
		Message: printable(resp.Header.Get("X-Error-Message")),
		Host:    resp.Request.URL.Host, after: retryAfter(resp.Header, time.Now()),
	}
}

// permanent marks an error that trying again does not cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// retryable reports whether trying again may help.
func retryable(err error) bool {
	var status *StatusError
	var never permanent
	var certificate *tls.CertificateVerificationError
	var file *fs.PathError
	switch {
	case errors.As(err, &never), errors.As(err, &certificate), errors.As(err, &file), errors.Is(err, context.Canceled), noSpace(err):
		return false
	case errors.As(err, &status):
		return status.passing()
	}
	return true
}

// noAnswer reports whether err says that the Hub was not reached or is out of order,
// which leaves the cache to go on with.
func noAnswer(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.passing()
	}
	return retryable(err)
}

// errStalled ends a request on which nothing came for long.
var errStalled = errors.New("nothing came for too long")

// explain says what a user can do about err, from asking for a repository.
func (c *Client) explain(err error, repo, revision string) error {
	var status *StatusError
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; what has come is kept, and the same command goes on from there")
	case noSpace(err):
		return fmt.Errorf("no space is left for %s in %s (HF_HUB_CACHE is another place, mlx models tells what is there): %w", repo, c.Cache, err)
	case !errors.As(err, &status):
		return fmt.Errorf("%s: %w", repo, err)
	}
	page := c.Endpoint + "/" + repo
	gated := strings.HasPrefix(status.Kind, "Gated")
	switch {
	case gated && c.Token == "":
		return fmt.Errorf("%s is gated: accept its terms at %s, then give your token in HF_TOKEN or %s: %w", repo, page, c.TokenFrom, err)
	case gated, status.Code == http.StatusForbidden:
		return fmt.Errorf("there is no access to %s with the token of %s: ask for it at %s: %w", repo, c.TokenFrom, page, err)
	case status.Kind == "RevisionNotFound":
		return fmt.Errorf("%s has no revision %s: %w", repo, revision, err)
	case status.Code == http.StatusUnauthorized && c.Token != "":
		return fmt.Errorf("%s does not exist, or the token of %s is not valid for it: %w", page, c.TokenFrom, err)
	case status.Code == http.StatusUnauthorized:
		return fmt.Errorf("%s does not exist, or is private and needs your token in HF_TOKEN or %s: %w", page, c.TokenFrom, err)
	case status.Code == http.StatusNotFound:
		return fmt.Errorf("there is no %s, or not in revision %s: %w", page, revision, err)
	case status.Code == http.StatusTooManyRequests:
		return fmt.Errorf("%s: the Hub asks to come back later: %w", repo, err)
	}
	return fmt.Errorf("%s: %w", repo, err)
}

// shortRead is what an error of a body that ends early is made of.
func shortRead(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
