package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/llm"
)

// parseIDs reads a JSON array of token ids, or ids with commas or white space
// between them.
func parseIDs(text string) ([]int, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "[") {
		var ids []int
		if err := json.Unmarshal([]byte(text), &ids); err != nil {
			return nil, fmt.Errorf("this is not a JSON array of token ids: %w", llm.JSONError(err))
		}
		return ids, nil
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", \t\r\n", r) })
	ids := make([]int, len(words))
	for i, word := range words {
		id, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("%q is not a token id", word)
		}
		ids[i] = id
	}
	return ids, nil
}
