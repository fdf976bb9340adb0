// A libtorch_cuda.so for machines without a GPU.
//
// Tensors "on the GPU" lie in main memory. Every operation on them is counted, and computed by the CPU's kernel. Waits
// are counted, too: an operation or a copy at which the host would wait until the GPU has done all of its work, such as
// reading a number, or finding out how many elements a mask marks. What a GPU refuses is refused: tensors on different
// devices, and matrix products of integers.
//
// The trainer opens libtorch_cuda.so while it runs, so nothing in it changes: a test opens this library first, or
// LD_LIBRARY_PATH names its folder. `fake_cuda_*` below read the counters. Three variables are for whole processes:
//
//   FAKE_CUDA_DEVICES=2          the number of GPUs, by default 1
//   FAKE_CUDA_MEMORY=9000000     bytes of each; beyond, allocations fail as on a GPU
//   FAKE_CUDA_LOG=FILE           writes all counters there at the end
//
// Not covered: kernels' own limits, cuDNN, races, time.

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace c10;
using Counters = std::map<std::string, int64_t>;

// ---------------------------------------------------------------------------------------------------- counters

std::mutex counting;
// Operations that a GPU computes, those that only allocate or describe memory, and waits.
Counters operations, views, waits;

void count(Counters& counters, const std::string& name, int64_t times = 1) {
  std::lock_guard<std::mutex> guard(counting);
  counters[name] += times;
}

int64_t total(const Counters& counters) {
  std::lock_guard<std::mutex> guard(counting);
  int64_t sum = 0;
  for (const auto& [name, times] : counters) sum += times;
  return sum;
}

std::string report() {
  std::lock_guard<std::mutex> guard(counting);
  std::ostringstream lines;
  const auto write = [&](const char* kind, const Counters& counters) {
    for (const auto& [name, times] : counters) lines << kind << '\t' << name << '\t' << times << '\n';
  };
  write("operation", operations);
  write("view", views);
  write("wait", waits);
  return lines.str();
}

struct AtTheEnd {
  ~AtTheEnd() {
    const char* path = getenv("FAKE_CUDA_LOG");
    FILE* file = path ? fopen(path, "w") : nullptr;
    if (!file) return;
    fputs(report().c_str(), file);
    fclose(file);
  }
} at_the_end;

// ---------------------------------------------------------------------------------------------------- memory

int device_count() {
  const char* number = getenv("FAKE_CUDA_DEVICES");
  return number ? atoi(number) : 1;
}

const Device DEVICE(kCUDA, 0);

std::atomic<int64_t> bytes_in_use{0};

void take(int64_t bytes) {
  static const char* limit = getenv("FAKE_CUDA_MEMORY");
  TORCH_CHECK_WITH(OutOfMemoryError, !limit || bytes_in_use + bytes <= atoll(limit),
                   "CUDA out of memory. Tried to allocate ", bytes, " bytes.");
  bytes_in_use += bytes;
}

// Before each allocation lies its size.
constexpr size_t HEAD = 64;

void* allocate(size_t bytes) {
  char* base = static_cast<char*>(aligned_alloc(HEAD, (bytes + 2 * HEAD - 1) / HEAD * HEAD));
  *reinterpret_cast<int64_t*>(base) = bytes;
  return base + HEAD;
}

int64_t release(void* data) {
  char* base = static_cast<char*>(data) - HEAD;
  const int64_t bytes = *reinterpret_cast<int64_t*>(base);
  free(base);
  return bytes;
}

void release_device(void* data) {
  if (data) bytes_in_use -= release(data);
}

// What other processes have taken of a GPU without FAKE_CUDA_MEMORY.
constexpr int64_t TOTAL = 80'000'000'000;
std::atomic<int64_t> taken_by_others{0};

struct OfDevice final : DeviceAllocator {
  DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release_device, DEVICE};
    take(bytes);
    void* data = ::allocate(bytes);
    return {data, data, &release_device, DEVICE};
  }
  DeleterFnPtr raw_deleter() const override { return &release_device; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
  bool initialized() override { return true; }
  void emptyCache(MempoolId_t) override {}
  void recordStream(const DataPtr&, Stream) override {}
  CachingDeviceAllocator::DeviceStats getDeviceStats(DeviceIndex) override { return {}; }
  void resetAccumulatedStats(DeviceIndex) override {}
  void resetPeakStats(DeviceIndex) override {}
  std::pair<size_t, size_t> getMemoryInfo(DeviceIndex) override {
    const char* limit = getenv("FAKE_CUDA_MEMORY");
    const int64_t total = limit ? atoll(limit) : TOTAL;
    return {std::max<int64_t>(0, total - bytes_in_use - taken_by_others), total};
  }
} device_allocator;
REGISTER_ALLOCATOR(DeviceType::CUDA, &device_allocator);

std::mutex pinning;
std::set<const void*> pinned;

bool is_pinned(const void* data) {
  std::lock_guard<std::mutex> guard(pinning);
  return pinned.count(data) > 0;
}

void release_pinned(void* data) {
  if (!data) return;
  std::lock_guard<std::mutex> guard(pinning);
  pinned.erase(data);
  release(data);
}

// Memory of the host that a GPU copies from and to while the host goes on.
struct PinnedAllocator final : Allocator {
  DataPtr allocate(size_t bytes) override {
    void* data = ::allocate(bytes);
    std::lock_guard<std::mutex> guard(pinning);
    pinned.insert(data);
    return {data, data, &release_pinned, Device(kCPU)};
  }
  DeleterFnPtr raw_deleter() const override { return &release_pinned; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
} pinned_allocator;

// ---------------------------------------------------------------------------------------------------- devices

struct Guard final : impl::DeviceGuardImplInterface {
  DeviceType type() const override { return kCUDA; }
  Device exchangeDevice(Device) const override { return DEVICE; }
  Device getDevice() const override { return DEVICE; }
  void setDevice(Device) const override {}
  void uncheckedSetDevice(Device) const noexcept override {}
  Stream getStream(Device) const override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream getDefaultStream(Device device) const override { return getStream(device); }
  Stream exchangeStream(Stream stream) const override { return stream; }
  DeviceIndex deviceCount() const noexcept override { return device_count(); }
  void record(void**, const Stream&, const DeviceIndex, const EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, const DeviceIndex) const noexcept override {}
  void synchronizeStream(const Stream&) const override { count(waits, "synchronize"); }
  void recordDataPtrOnStream(const DataPtr&, const Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard);

}  // namespace

namespace fake_cuda {
struct CUDAHooks : at::CUDAHooksInterface {
  CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return device_count() > 0; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasCuDNN() const override { return false; }
  DeviceIndex current_device() const override { return 0; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  DeviceIndex deviceCount() const override { return device_count(); }
  int getNumGPUs() const override { return device_count(); }
  Allocator* getCUDADeviceAllocator() const override { return &device_allocator; }
  Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
  bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
  void deviceSynchronize(DeviceIndex) const override { count(waits, "synchronize"); }
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace fake_cuda

// ---------------------------------------------------------------------------------------------------- operations

namespace {

const auto DEVICE_KEYS =
    DispatchKeySet(DispatchKey::CUDA) | DispatchKeySet(DispatchKey::AutogradCUDA) | DispatchKeySet(DispatchKey::ADInplaceOrView);
const auto HOST_KEYS =
    DispatchKeySet(DispatchKey::CPU) | DispatchKeySet(DispatchKey::AutogradCPU) | DispatchKeySet(DispatchKey::ADInplaceOrView);

// A tensor of the GPU, and the same memory as a tensor of the host.
struct Pair {
  at::Tensor device, host;
};

at::Tensor with_storage(Storage storage, DispatchKeySet keys, const at::Tensor& like) {
  auto tensor = at::detail::make_tensor<TensorImpl>(std::move(storage), keys, like.dtype());
  tensor.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  return tensor;
}

at::Tensor host_of(const at::Tensor& device) {
  auto memory = device.storage();
  DataPtr data(memory.mutable_data(), Device(kCPU));
  Storage storage(make_intrusive<StorageImpl>(StorageImpl::use_byte_size_t(), memory.nbytes(), std::move(data),
                                              GetCPUAllocator(), true));
  auto host = with_storage(std::move(storage), HOST_KEYS, device);
  if (device.unsafeGetTensorImpl()->is_wrapped_number()) host.unsafeGetTensorImpl()->set_wrapped_number(true);
  return host;
}

// Memory that a CPU's kernel has allocated, kept by a tensor of the GPU.
struct Kept {
  Storage storage;
  int64_t bytes;
};

void release_kept(void* data) {
  auto* kept = static_cast<Kept*>(data);
  bytes_in_use -= kept->bytes;
  delete kept;
}

DataPtr keep(const Storage& storage) {
  const int64_t bytes = storage.nbytes();
  take(bytes);
  return DataPtr(storage.mutable_data(), new Kept{storage, bytes}, &release_kept, DEVICE);
}

at::Tensor device_of(const at::Tensor& host, const std::vector<Pair>& pairs) {
  if (!host.defined()) return host;
  for (const auto& pair : pairs)
    if (pair.host.unsafeGetTensorImpl() == host.unsafeGetTensorImpl()) return pair.device;
  const void* data = host.storage().mutable_data();
  for (const auto& pair : pairs)
    if (data && pair.device.storage().mutable_data() == data) return with_storage(pair.device.storage(), DEVICE_KEYS, host);
  Storage storage(make_intrusive<StorageImpl>(StorageImpl::use_byte_size_t(), host.storage().nbytes(),
                                              keep(host.storage()), &device_allocator, true));
  return with_storage(std::move(storage), DEVICE_KEYS, host);
}

// Takes over sizes and memory that the CPU's kernel has changed.
void follow(Pair& pair) {
  if (pair.host.storage().mutable_data() != pair.device.storage().mutable_data()) {
    pair.device.storage().set_data_ptr_noswap(keep(pair.host.storage()));
    pair.device.storage().set_nbytes(pair.host.storage().nbytes());
  }
  if (pair.host.sizes() == pair.device.sizes() && pair.host.strides() == pair.device.strides()) return;
  pair.device.unsafeGetTensorImpl()->set_sizes_and_strides(pair.host.sizes(), pair.host.strides(),
                                                           pair.host.storage_offset());
}

// The arguments of an operation, moved to the host.
struct Arguments {
  std::vector<Pair> pairs;
  bool has_mask_index = false;

  at::Tensor to_host(const at::Tensor& tensor) {
    if (!tensor.defined() || (!tensor.is_cuda() && tensor.dim() == 0)) return tensor;
    TORCH_CHECK(tensor.is_cuda(), "Expected all tensors to be on the same device, but found at least two devices");
    for (const auto& pair : pairs)
      if (pair.device.unsafeGetTensorImpl() == tensor.unsafeGetTensorImpl()) return pair.host;
    pairs.push_back({tensor, host_of(tensor)});
    return pairs.back().host;
  }

  IValue to_host(const IValue& value) {
    if (value.isTensor()) return to_host(value.toTensor());
    if (value.isDevice() && value.toDevice().is_cuda()) return Device(kCPU);
    if (value.isTensorList()) {
      List<at::Tensor> tensors;
      for (const auto& tensor : value.toTensorVector()) tensors.push_back(to_host(tensor));
      return tensors;
    }
    if (!value.isOptionalTensorList()) return value;
    List<std::optional<at::Tensor>> tensors;
    for (const std::optional<at::Tensor> tensor : value.toOptionalTensorList()) {
      const bool given = tensor && tensor->defined();
      has_mask_index |= given && (tensor->scalar_type() == at::kBool || tensor->scalar_type() == at::kByte);
      tensors.push_back(given ? to_host(*tensor) : tensor);
    }
    return tensors;
  }
};

// How often the host waits within an operation, for those where it does.
const std::map<std::string, int> WAITING = {
    {"aten::_local_scalar_dense", 1}, {"aten::nonzero", 1},        {"aten::equal", 1},
    {"aten::_unique", 1},             {"aten::_unique2", 1},       {"aten::unique_consecutive", 1},
    {"aten::unique_dim", 1},          {"aten::masked_select", 1},  {"aten::is_nonzero", 1},
    {"aten::bincount", 2},            {"aten::histc", 1},          {"aten::multinomial", 1},
};
const std::set<std::string> VIEWS = {"aten::view",  "aten::as_strided",    "aten::_reshape_alias", "aten::unfold",
                                     "aten::empty", "aten::empty_strided", "aten::resize_",        "aten::set_"};
const std::set<std::string> PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::dot"};

void count_operation(const std::string& name, const FunctionSchema& schema, const torch::jit::Stack& stack, size_t first) {
  count(VIEWS.count(name) ? views : operations, name);
  const auto waiting = WAITING.find(name);
  if (waiting != WAITING.end()) count(waits, name, waiting->second);
  // Without a given size, the result is as long as the sum of the repeats says.
  if (name == "aten::repeat_interleave") {
    const auto size = schema.argumentIndexWithName("output_size");
    if (!size || stack[first + *size].isNone()) count(waits, name);
  }
}

void fallback(const OperatorHandle& op, torch::jit::Stack* stack) {
  const auto& schema = op.schema();
  const std::string& name = schema.name();
  const size_t first = stack->size() - schema.arguments().size();
  count_operation(name, schema, *stack, first);
  Arguments arguments;
  for (size_t place = first; place < stack->size(); place++) (*stack)[place] = arguments.to_host((*stack)[place]);
  if (arguments.has_mask_index) count(waits, name + " with a mask");
  for (const auto& pair : arguments.pairs)
    TORCH_CHECK(!PRODUCTS.count(name) || at::isFloatingType(pair.host.scalar_type()), "\"", name,
                "_cuda\" not implemented for '", toString(pair.host.scalar_type()), "'");
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    op.callBoxed(stack);
  }
  for (auto& pair : arguments.pairs) follow(pair);
  for (size_t place = stack->size() - schema.returns().size(); place < stack->size(); place++) {
    IValue& value = (*stack)[place];
    if (value.isTensor()) {
      value = device_of(value.toTensor(), arguments.pairs);
    } else if (value.isTensorList()) {
      List<at::Tensor> tensors;
      for (const auto& tensor : value.toTensorVector()) tensors.push_back(device_of(tensor, arguments.pairs));
      value = tensors;
    }
  }
}

at::Tensor& copy(at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  if (self.numel() > 0 || from.numel() > 0) {
    const at::Tensor& host = self.is_cuda() ? from : self;
    const char* direction = !from.is_cuda() ? "copy to the device" : self.is_cuda() ? "copy on the device" : "copy from the device";
    count(operations, direction);
    const bool waits_for_it = !host.is_cuda() && !(non_blocking && is_pinned(host.storage().data()));
    if (waits_for_it) count(waits, direction);
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  at::Tensor target = self.is_cuda() ? host_of(self) : self;
  target.copy_(from.is_cuda() ? host_of(from) : from, false);
  return self;
}

TORCH_LIBRARY_IMPL(_, CUDA, library) { library.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(aten, CUDA, library) { library.impl("copy_", TORCH_FN(copy)); }

}  // namespace

extern "C" {

void fake_cuda_reset() {
  std::lock_guard<std::mutex> guard(counting);
  for (Counters* counters : {&operations, &views, &waits}) counters->clear();
}

// Makes a GPU say that other processes have taken nearly all of its memory.
void fake_cuda_fill() { taken_by_others = TOTAL - 100'000; }

void fake_cuda_empty() { taken_by_others = 0; }

int64_t fake_cuda_operations() { return total(operations); }

int64_t fake_cuda_waits() { return total(waits); }

// One line for each counter: its kind, its name and its value, separated by tabs. Valid until the next call.
const char* fake_cuda_report() {
  static std::string text;
  text = report();
  return text.c_str();
}

}
