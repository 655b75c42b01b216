package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Client talks to a Hub and keeps its cache.
type Client struct {
	Config
	// Watch hears how a download goes; nil for nobody.
	Watch Watcher
	// UserAgent names the program.
	UserAgent string

	tries int                                     // tries without progress, one after the other
	first time.Duration                           // pause before the second try; doubled each time
	stall time.Duration                           // longest silence
	pause func(context.Context, time.Duration)    // sleeps
	free  func(dir string) (bytes int64, _ error) // space left
	http  *http.Client
}

// Watcher hears how a download goes. Its methods are called from several goroutines
// at a time.
type Watcher interface {
	// Start tells how many files there are to fetch and their bytes.
	Start(files int, bytes int64)
	// Add tells that n more bytes are there, or fewer when n is negative: a part was
	// of no use.
	Add(n int64)
	// File tells that a file of size bytes is complete.
	File(name string, size int64)
	// Note tells of a try again, of waiting, of doing without the Hub.
	Note(text string)
}

type nobody struct{}

func (nobody) Start(int, int64)   {}
func (nobody) Add(int64)          {}
func (nobody) File(string, int64) {}
func (nobody) Note(string)        {}

// maxPause is the longest pause that a server's Retry-After gets.
const maxPause = 2 * time.Minute

// New makes a Client. Proxies come from the environment as in all Go programs.
func New(config Config, watch Watcher) *Client {
	if watch == nil {
		watch = nobody{}
	}
	// Connections of their own for files that come at the same time.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &Client{
		Config: config, Watch: watch, UserAgent: "mlx-go",
		tries: 6, first: time.Second, stall: 30 * time.Second,
		pause: func(ctx context.Context, d time.Duration) {
			select {
			case <-ctx.Done():
			case <-time.After(d):
			}
		},
		free: freeSpace,
		http: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
				TLSHandshakeTimeout: 15 * time.Second,
				DisableCompression:  true,
				MaxIdleConnsPerHost: workers,
				IdleConnTimeout:     time.Minute,
				Protocols:           protocols,
			},
			// Redirects are followed by hand: the token must not follow them.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// answer is the last of the responses of a request with its redirects.
type answer struct {
	*http.Response
	// etag, commit and size are what any of the responses on the way said; size is
	// -1 for nothing.
	etag, commit string
	size         int64
	// away is set when the request went, or would go on, to another host.
	away bool
}

func isRedirect(code int) bool {
	switch code {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// send makes a request and follows redirects; a HEAD only on the Hub's own host,
// since what another host says of a file is not the Hub's word. The body is closed
// by the caller, and reads from it fail when nothing comes for long.
func (c *Client) send(ctx context.Context, method, address string, header http.Header) (*answer, error) {
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, permanent{err}
	}
	a := &answer{size: -1}
	for range 10 {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return nil, permanent{fmt.Errorf("redirected to %q, which is no web address", printable(address))}
		}
		own := u.Scheme == endpoint.Scheme && strings.EqualFold(u.Host, endpoint.Host)
		a.away = a.away || !own
		resp, err := c.once(ctx, method, u, header, own)
		if err != nil {
			return nil, err
		}
		a.Response = resp
		a.note(resp.Header, own)
		if !isRedirect(resp.StatusCode) {
			return a, nil
		}
		next, err := u.Parse(resp.Header.Get("Location"))
		if err != nil || resp.Header.Get("Location") == "" {
			resp.Body.Close()
			return nil, permanent{fmt.Errorf("%s redirects to nowhere", u.Host)}
		}
		if method == http.MethodHead && (next.Scheme != endpoint.Scheme || !strings.EqualFold(next.Host, endpoint.Host)) {
			a.away = true
			return a, nil
		}
		resp.Body.Close()
		address = next.String()
	}
	return nil, permanent{errors.New("the Hub redirects in circles")}
}

// note keeps what the Hub itself says of a file.
func (a *answer) note(h http.Header, own bool) {
	if !own {
		return
	}
	if v := h.Get("X-Linked-Etag"); v != "" {
		a.etag = v
	}
	if v := h.Get("X-Repo-Commit"); v != "" {
		a.commit = v
	}
	if n, err := strconv.ParseInt(h.Get("X-Linked-Size"), 10, 64); err == nil && n >= 0 {
		a.size = n
	}
}

// once makes one request. The token goes to the Hub's own host only.
func (c *Client) once(ctx context.Context, method string, u *url.URL, header http.Header, own bool) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.stall, func() { cancel(errStalled) })
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, permanent{err}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	if own && c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := c.http.Do(req)
	timer.Stop()
	if err != nil {
		err = plainError(ctx, u, err)
		cancel(nil)
		return nil, err
	}
	resp.Body = &watchedBody{body: resp.Body, ctx: ctx, cancel: cancel, timer: timer, url: u, stall: c.stall}
	return resp, nil
}

// plainError takes the address, which may hold signed parameters, from an error of
// net/http, and tells a silence from a wish to stop.
func plainError(ctx context.Context, u *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		err = cause
	}
	return fmt.Errorf("%s: %w", u.Host, err)
}

// watchedBody is a body that fails when nothing comes for long.
type watchedBody struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	url    *url.URL
	stall  time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = plainError(b.ctx, b.url, err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}

// retry calls f until it succeeds, fails for good or has failed tries times in a row
// without progress.
func (c *Client) retry(ctx context.Context, what string, tries int, f func() (progress bool, err error)) error {
	failed := 0
	for {
		progress, err := f()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Canceled
		}
		if progress {
			failed = 0
		}
		var dns *net.DNSError
		if errors.As(err, &dns) && dns.IsNotFound {
			tries = min(tries, 2) // no network, most likely
		}
		if failed++; failed >= tries || !retryable(err) {
			return err
		}
		wait := c.first << min(failed-1, 5)
		var status *StatusError
		if errors.As(err, &status) && status.after > 0 {
			if wait = status.after; wait > maxPause {
				return permanent{fmt.Errorf("the next try is welcome after %v only: %w", wait.Round(time.Second), err)}
			}
		}
		c.Watch.Note(fmt.Sprintf("%s: %v; next try in %v", what, err, wait.Round(time.Millisecond)))
		c.pause(ctx, wait)
		if ctx.Err() != nil {
			return context.Canceled
		}
	}
}

// rateReset is the time to wait, in seconds, in the header RateLimit.
var rateReset = regexp.MustCompile(`(?:^|;)\s*t=(\d{1,6})\s*(?:$|[;,])`)

// retryAfter is the pause that a response asks for; 0 for none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	if m := rateReset.FindStringSubmatch(h.Get("RateLimit")); m != nil {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * time.Second
	}
	return 0
}
