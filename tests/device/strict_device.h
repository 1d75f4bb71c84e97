// The parts of the strict device that are not operators: waits, memory, random numbers, and what torch asks a device.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/utils/pybind.h>

constexpr auto kStrict = c10::DeviceType::PrivateUse1;
constexpr c10::DeviceIndex kDevices = 2;
static thread_local c10::DeviceIndex current_device = 0;

// Waits: a function of Python takes the kind of wait and the operator's name.

static PyObject* listener = Py_None;

inline void report(const char* kind, const std::string& op) {
    if (listener == Py_None) return;
    pybind11::gil_scoped_acquire gil;
    pybind11::reinterpret_borrow<pybind11::object>(listener)(kind, op);
}

// Memory: [reserved pages without access][the values]; a device pointer is the address of the first part.

struct Block {
    char* base;
    size_t size;  // of each part, whole pages
    ~Block() { munmap(base, 2 * size); }
    char* values() const { return base + size; }
};

inline void delete_block(void* block) { delete static_cast<Block*>(block); }

struct DeviceAllocator final : c10::Allocator {
    static c10::DataPtr make(size_t bytes, c10::DeviceIndex index) {
        const c10::Device device(kStrict, index);
        if (bytes == 0) return {nullptr, nullptr, &delete_block, device};
        const size_t page = sysconf(_SC_PAGESIZE), size = (bytes + page - 1) / page * page;
        void* base = mmap(nullptr, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        TORCH_CHECK(base != MAP_FAILED, "strict: out of memory for ", bytes, " bytes");
        TORCH_CHECK(mprotect(base, size, PROT_NONE) == 0, "strict: mprotect failed");
        return {base, new Block{static_cast<char*>(base), size}, &delete_block, device};
    }
    c10::DataPtr allocate(size_t bytes) override { return make(bytes, current_device); }
    c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
    void copy_data(void*, const void*, std::size_t) const override { TORCH_CHECK(false, "strict: no raw copies"); }
};

inline void* values_of(const c10::Storage& storage) {
    auto* block = static_cast<Block*>(storage.data_ptr().get_context());
    return block == nullptr ? nullptr : block->values();
}

static DeviceAllocator device_allocator;

inline c10::Storage new_storage(size_t bytes, c10::DeviceIndex index) {
    return c10::Storage(
        c10::Storage::use_byte_size_t(), bytes, DeviceAllocator::make(bytes, index), &device_allocator, true);
}

// Pinned memory is ordinary memory of the host whose addresses are known.

static std::mutex pinned_mutex;
static std::map<const char*, size_t> pinned;

inline void delete_pinned(void* data) {
    {
        std::lock_guard<std::mutex> lock(pinned_mutex);
        pinned.erase(static_cast<char*>(data));
    }
    free(data);
}

struct PinnedAllocator final : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override {
        void* data = aligned_alloc(64, (bytes + 64) / 64 * 64);
        std::lock_guard<std::mutex> lock(pinned_mutex);
        pinned[static_cast<char*>(data)] = bytes + 1;
        return {data, data, &delete_pinned, c10::Device(c10::kCPU)};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &delete_pinned; }
    void copy_data(void* to, const void* from, std::size_t bytes) const override { memcpy(to, from, bytes); }
};

static PinnedAllocator pinned_allocator;

inline bool is_pinned(const void* data) {
    std::lock_guard<std::mutex> lock(pinned_mutex);
    auto next = pinned.upper_bound(static_cast<const char*>(data));
    if (next == pinned.begin()) return false;
    --next;
    return static_cast<const char*>(data) < next->first + next->second;
}

// Random numbers: one generator a device, with the algorithm of the CPU's.

struct StrictGenerator final : at::CPUGeneratorImpl {
    explicit StrictGenerator(c10::DeviceIndex index) {
        device_ = c10::Device(kStrict, index);
        key_set_ = c10::DispatchKeySet(c10::DispatchKey::PrivateUse1);
    }
};

inline at::Generator new_generator(c10::DeviceIndex index) {
    return at::make_generator<StrictGenerator>(index < 0 ? current_device : index);
}

inline const at::Generator& default_generator(c10::DeviceIndex index) {
    static std::array<at::Generator, kDevices> all = {new_generator(0), new_generator(1)};
    return all.at(index < 0 ? current_device : index);
}

struct Hooks final : at::PrivateUse1HooksInterface {
    bool isBuilt() const { return true; }      // NOLINT: `override` in newer versions of torch only
    bool isAvailable() const { return true; }  // NOLINT
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    void init() const override {}
    c10::DeviceIndex deviceCount() const override { return kDevices; }
    c10::DeviceIndex getCurrentDevice() const override { return current_device; }
    void setCurrentDevice(c10::DeviceIndex index) const override { current_device = index; }
    c10::DeviceIndex exchangeDevice(c10::DeviceIndex index) const override {
        return std::exchange(current_device, index);
    }
    c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex index) const override {
        return std::exchange(current_device, index < 0 ? current_device : index);
    }
    const at::Generator& getDefaultGenerator(c10::DeviceIndex index) const override { return default_generator(index); }
    at::Generator getNewGenerator(c10::DeviceIndex index) const override { return new_generator(index); }
    at::Device getDeviceFromPtr(void*) const override { return {kStrict, current_device}; }
    bool isPinnedPtr(const void* data) const override { return is_pinned(data); }
    c10::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
    void resizePrivateUse1Bytes(const c10::Storage& storage, size_t bytes) const override {
        auto data = DeviceAllocator::make(bytes, storage.device().index());
        const size_t kept = std::min(bytes, storage.nbytes());
        if (kept) memcpy(static_cast<Block*>(data.get_context())->values(), values_of(storage), kept);
        storage.unsafeGetStorageImpl()->set_data_ptr(std::move(data));
        storage.unsafeGetStorageImpl()->set_nbytes(bytes);
    }
};

struct Guard final : c10::impl::DeviceGuardImplInterface {
    c10::DeviceType type() const override { return kStrict; }
    c10::Device exchangeDevice(c10::Device device) const override {
        return {kStrict, std::exchange(current_device, device.index())};
    }
    c10::Device getDevice() const override { return {kStrict, current_device}; }
    void setDevice(c10::Device device) const override { current_device = device.index(); }
    void uncheckedSetDevice(c10::Device device) const noexcept override { current_device = device.index(); }
    c10::Stream getStream(c10::Device device) const override { return c10::Stream(c10::Stream::DEFAULT, device); }
    c10::Stream getDefaultStream(c10::Device device) const override { return getStream(device); }
    c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
    c10::DeviceIndex deviceCount() const noexcept override { return kDevices; }
    void synchronizeDevice(c10::DeviceIndex) const override { report("read", "synchronize"); }
};
