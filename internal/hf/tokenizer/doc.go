// Package tokenizer reads Hugging Face tokenizer.json files and turns text
// into token ids and back, with the results of the Rust library tokenizers.
//
// A [Tokenizer] is a pipeline with one file and one small interface per stage:
//
//	added tokens → normalizer → pre-tokenizer → model → post-processor
//	ids → decoder → text
//
// Models are BPE (byte-level, or of characters with byte fallback), Unigram,
// WordPiece and WordLevel. [Load] and [Parse] build a Tokenizer; it is
// immutable and may be used by many goroutines at once. A [Detokenizer] turns
// one stream of ids into pieces of text that never change afterwards.
//
// In two points it does not follow the Rust library: added tokens have the ids
// that the file gives them, also where these leave gaps (the library numbers
// them anew, which is not what the model was trained on), and what a model has
// no id for, not even an unknown token, is left out instead of an error.
//
// The package does not train, has no offsets and no pairs of sequences, and
// ignores what a file says on truncation, padding and BPE dropout, which are
// matters of training. Chat templates are the business of another package.
package tokenizer
