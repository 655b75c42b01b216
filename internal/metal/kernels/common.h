// Shared by all kernels.
#include <metal_stdlib>
using namespace metal;

// strided_offset is where element i (row-major) of a strided array lies, in elements.
// D axes are unrolled; from 4 on, ndim says how many there are.
template <int D>
METAL_FUNC long strided_offset(uint i, constant int* shape, constant long* strides, int ndim) {
  long at = 0;
  if constexpr (D < 4) {
    for (int k = D - 1; k > 0; k--) {
      uint d = static_cast<uint>(shape[k]);
      at += static_cast<long>(i % d) * strides[k];
      i /= d;
    }
  } else {
    for (int k = ndim - 1; k > 0; k--) {
      uint d = static_cast<uint>(shape[k]);
      at += static_cast<long>(i % d) * strides[k];
      i /= d;
    }
  }
  return at + static_cast<long>(i) * strides[0];
}

// row_offset is where row i of a strided array begins, in elements; rows are its last axis.
METAL_FUNC long row_offset(uint i, constant int* shape, constant long* strides, int ndim) {
  long at = 0;
  for (int k = ndim - 2; k >= 0; k--) {
    uint d = static_cast<uint>(shape[k]);
    at += static_cast<long>(i % d) * strides[k];
    i /= d;
  }
  return at;
}
