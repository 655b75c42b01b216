// The loop that encodes dispatches. See encode_darwin.c.

#include <stdint.h>

// mlx_encode sends the commands of a tape of so many words to a compute command encoder.
void mlx_encode(void *encoder, const uint64_t *tape, uint64_t words);
