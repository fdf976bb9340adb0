// What torch-sys leaves out of libtorch. Declared in libtorch.rs.

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

extern "C" {

// Returns this number of bytes in pinned memory; null if there is none.
at::Tensor* dml_pinned_bytes(int64_t count) {
  try {
    return new at::Tensor(at::empty({count}, at::TensorOptions().dtype(at::kByte).pinned_memory(true)));
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Sets whether convolutions on a GPU may round their factors to TF32.
void dml_allow_tf32(bool allowed) { at::globalContext().setAllowTF32CuDNN(allowed); }

}
