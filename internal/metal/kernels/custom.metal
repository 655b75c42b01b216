#include "common.h"

// custom_fill writes the initial value of an output.
template <typename T>
[[kernel]] void custom_fill(
    device T* out [[buffer(0)]],
    constant T& value [[buffer(1)]],
    uint i [[thread_position_in_grid]]) {
  out[i] = value;
}
