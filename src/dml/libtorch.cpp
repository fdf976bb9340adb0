// What torch-sys leaves out of libtorch. Declared in libtorch.rs.

#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

extern "C" {

// Returns this number of bytes in pinned memory; null if there is none.
at::Tensor* dml_pinned_bytes(int64_t count) {
  try {
    return new at::Tensor(at::empty({count}, at::TensorOptions().dtype(at::kByte).pinned_memory(true)));
  } catch (const std::exception&) {
    return nullptr;
  }
}

// Returns the bytes of memory that a GPU has free; -1 if it does not tell.
int64_t dml_free_bytes(int gpu) {
  try {
    return c10::getDeviceAllocator(c10::kCUDA)->getMemoryInfo(gpu).first;
  } catch (const std::exception&) {
    return -1;
  }
}

// Sets whether convolutions on a GPU may round their factors to TF32.
void dml_allow_tf32(bool allowed) { at::globalContext().setAllowTF32CuDNN(allowed); }

// Gives the memory of a GPU that no tensor uses back to its driver. Returns false if that fails.
bool dml_release_gpu_memory() {
  try {
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->emptyCache();
    at::getHostAllocator(c10::DeviceType::CUDA)->empty_cache();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

// Gives the main memory that nothing uses back to the system, where the C library can do that.
void dml_release_main_memory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

}
