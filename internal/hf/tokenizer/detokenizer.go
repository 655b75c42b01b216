package tokenizer

// Detokenizer decodes one stream of ids as they come. The texts that Add and
// Finish return, put together, are what [Tokenizer.Decode] makes of all ids,
// byte for byte; each is whole characters, and nothing returned changes later.
//
// Text waits while later ids can change it: an unfinished character, the last
// token before a suffix, and with the ByteFallback decoder a whole run of byte
// tokens, since one bad byte turns all of the run into U+FFFD. A byte that can
// not be part of a character ends the wait.
//
// The cost of a token does not depend on those before it. A Detokenizer is for
// one goroutine.
type Detokenizer struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	first       sink // nil between streams
	out         textSink
}

// NewDetokenizer starts a stream; skipSpecial leaves out special tokens.
func NewDetokenizer(t *Tokenizer, skipSpecial bool) *Detokenizer {
	return &Detokenizer{tokenizer: t, skipSpecial: skipSpecial}
}

// Add takes the next id and returns the text that is now certain, often "". Ids
// outside the vocabulary are left out.
func (d *Detokenizer) Add(id int) string {
	d.add(id)
	return d.take()
}

// Finish ends the stream and returns the rest of the text. After it the
// Detokenizer starts a new stream.
func (d *Detokenizer) Finish() string {
	d.start()
	d.first.close()
	d.first = nil
	return d.take()
}

func (d *Detokenizer) add(id int) {
	token, ok := d.tokenizer.Token(id)
	if !ok || d.skipSpecial && d.tokenizer.IsSpecial(id) {
		return
	}
	d.start()
	d.first.write(token)
}

func (d *Detokenizer) start() {
	if d.first == nil {
		d.first = d.tokenizer.decoders.sink(&d.out)
	}
}

func (d *Detokenizer) take() string {
	text := string(d.out.text)
	d.out.text = d.out.text[:0]
	return text
}
