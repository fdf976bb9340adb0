// What torch-sys leaves out of libtorch. Declared in libtorch.rs.

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <vector>
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace {

// The gradient of a block that is computed again.
struct ComputedAgain : torch::autograd::Node {
  at::Tensor input;
  std::vector<at::Tensor> parameters;
  at::Tensor* (*compute)(const void*, at::Tensor*);
  void (*discard)(void*);
  void* closure;

  ~ComputedAgain() override { release_variables(); }

  void release_variables() override {
    input.reset();
    parameters.clear();
    if (closure) discard(closure);
    closure = nullptr;
  }

  torch::autograd::variable_list apply(torch::autograd::variable_list&& gradients) override {
    if (!closure) throw std::runtime_error("the graph of a block has been freed");
    at::AutoGradMode with_graph(true);
    at::Tensor leaf = input.detach().requires_grad_(input.requires_grad());
    std::unique_ptr<at::Tensor> output(compute(closure, &leaf));
    if (!output) throw std::runtime_error("a block could not be computed again");
    std::vector<at::Tensor> leaves;
    if (leaf.requires_grad()) leaves.push_back(leaf);
    for (const at::Tensor& parameter : parameters)
      if (parameter.requires_grad()) leaves.push_back(parameter);
    auto found = torch::autograd::grad({*output}, leaves, {gradients[0]}, std::nullopt, false, true);
    torch::autograd::variable_list all;
    auto next = found.begin();
    all.push_back(leaf.requires_grad() ? *next++ : at::Tensor());
    for (const at::Tensor& parameter : parameters)
      all.push_back(parameter.requires_grad() ? *next++ : at::Tensor());
    return all;
  }
};

// The bytes that a thread has allocated and not freed, and their maximum.
struct ByteCount : c10::MemoryReportingInfoBase {
  int64_t bytes = 0;
  int64_t most = 0;

  void reportMemoryUsage(void*, int64_t change, size_t, size_t, c10::Device) override {
    bytes += change;
    most = std::max(most, bytes);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

// Lets a thread compute in bfloat16 where that is accurate enough.
struct InBfloat16 {
  at::DeviceType device;
  bool was_enabled = at::autocast::is_autocast_enabled(device);
  at::ScalarType dtype = at::autocast::get_autocast_dtype(device);

  explicit InBfloat16(at::DeviceType of) : device(of) {
    at::autocast::set_autocast_enabled(device, true);
    at::autocast::set_autocast_dtype(device, at::kBFloat16);
    at::autocast::increment_nesting();
  }
  ~InBfloat16() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_dtype(device, dtype);
    at::autocast::set_autocast_enabled(device, was_enabled);
  }
};

struct Counting {
  std::shared_ptr<ByteCount> count = std::make_shared<ByteCount>();
  c10::DebugInfoGuard guard{c10::DebugInfoKind::PROFILER_STATE, count};
};

}

extern "C" {

// Lets the gradient of an output, which has no graph, be computed by a function that makes it again of the input.
void dml_computed_again(at::Tensor* output, const at::Tensor* input, const at::Tensor* const* parameters, int64_t count,
                        at::Tensor* (*compute)(const void*, at::Tensor*), void (*discard)(void*), void* closure) {
  bool is_needed = input->requires_grad();
  for (int64_t place = 0; place < count; place++) is_needed = is_needed || parameters[place]->requires_grad();
  if (!is_needed || !at::GradMode::is_enabled()) {
    discard(closure);
    return;
  }
  std::shared_ptr<ComputedAgain> node(new ComputedAgain(), torch::autograd::deleteNode);
  node->input = *input;
  for (int64_t place = 0; place < count; place++) node->parameters.push_back(*parameters[place]);
  node->compute = compute;
  node->discard = discard;
  node->closure = closure;
  node->set_next_edges(torch::autograd::collect_next_edges(*input, node->parameters));
  torch::autograd::create_gradient_edge(*output, node);
}

// Begins to compute in bfloat16 on this thread.
void* dml_begin_autocast(bool cuda) { return new InBfloat16(cuda ? at::kCUDA : at::kCPU); }

// Ends it.
void dml_end_autocast(void* autocast) { delete static_cast<InBfloat16*>(autocast); }

// Begins to count the bytes that this thread allocates.
void* dml_count_bytes() { return new Counting(); }

// Ends a count. Returns the most bytes that were in use at a time.
int64_t dml_most_bytes(void* count) {
  std::unique_ptr<Counting> counting(static_cast<Counting*>(count));
  return counting->count->most;
}

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
