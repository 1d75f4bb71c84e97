// A strict device on torch's PrivateUse1 key, for tests of code that runs on an accelerator.
//
// Its memory cannot be read by the CPU: the address of a tensor is reserved and has no access rights, and the values
// are at another address that only this file knows. Each operator without a kernel of its own runs on the CPU, on
// those values, after the checks that CUDA would make: tensors of two devices must not meet, and a generator must be
// of the device. Operators for which the host would wait on CUDA are reported to a function in Python.

#include <set>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "strict_device.h"

namespace {

using torch::jit::Stack;

// Tensors of one call: each storage of the device has one alias on the CPU, and the other way round.

class Call {
  public:
    explicit Call(c10::DeviceIndex index) : index_(index) {}

    at::Tensor to_cpu(const at::Tensor& tensor) {
        auto alias = at::detail::make_tensor<c10::TensorImpl>(
            alias_of(tensor.storage()), c10::DispatchKeySet(c10::DispatchKey::CPU), tensor.dtype());
        alias.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
        if (tensor.is_conj()) alias._set_conj(true);
        if (tensor.is_neg()) alias._set_neg(true);
        tensors_.emplace_back(alias, tensor);
        return alias;
    }

    // A result: a tensor that went in, a view of one, or a new one.
    at::Tensor to_device(const at::Tensor& result) {
        if (!result.defined()) return result;
        for (const auto& [alias, tensor] : tensors_)
            if (alias.is_same(result)) return tensor;
        const c10::Storage storage = original_of(result.storage());
        at::Tensor found;
        for (const auto& [alias, tensor] : tensors_)
            if (!found.defined() && tensor.storage().is_alias_of(storage))  // a view of an inference tensor is one, too
                found = at::detail::make_tensor<c10::TensorImpl>(
                    c10::TensorImpl::VIEW, c10::Storage(storage), tensor.key_set(), result.dtype());
        if (!found.defined())
            found = at::detail::make_tensor<c10::TensorImpl>(
                c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::PrivateUse1), result.dtype());
        found.unsafeGetTensorImpl()->set_sizes_and_strides(result.sizes(), result.strides(), result.storage_offset());
        return found;
    }

    // After the call, give tensors that it resized or replaced their new shape and memory.
    void write_back() {
        for (const auto& [alias, tensor] : tensors_) {
            const c10::Storage storage = original_of(alias.storage());
            const bool same = storage.is_alias_of(tensor.storage());
            if (same && alias.sizes() == tensor.sizes() && alias.strides() == tensor.strides()) continue;
            auto* impl = tensor.unsafeGetTensorImpl();
            if (!same) impl->set_storage_keep_dtype(storage);
            impl->set_sizes_and_strides(alias.sizes(), alias.strides(), alias.storage_offset());
        }
    }

  private:
    c10::Storage alias_of(const c10::Storage& storage) {
        for (const auto& [alias, original] : storages_)
            if (original.is_alias_of(storage)) return alias;
        // Without values it may be resized, as the outputs of `out=` are.
        const bool empty = storage.nbytes() == 0;
        auto* kept = empty ? nullptr : new c10::Storage(storage);
        c10::DataPtr data(
            values_of(storage), kept, [](void* owner) { delete static_cast<c10::Storage*>(owner); }, c10::kCPU);
        auto* allocator = empty ? c10::GetAllocator(c10::kCPU) : nullptr;
        c10::Storage alias(c10::Storage::use_byte_size_t(), storage.nbytes(), std::move(data), allocator, empty);
        storages_.emplace_back(alias, storage);
        return alias;
    }

    c10::Storage original_of(const c10::Storage& storage) {
        for (const auto& [alias, original] : storages_)
            if (alias.is_alias_of(storage) && alias.nbytes() == original.nbytes()) return original;
        auto original = new_storage(storage.nbytes(), index_);
        if (storage.nbytes()) memcpy(values_of(original), storage.data(), storage.nbytes());
        storages_.emplace(storages_.begin(), storage, original);
        return original;
    }

    c10::DeviceIndex index_;
    std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;      // (on the CPU, on the device)
    std::vector<std::pair<c10::Storage, c10::Storage>> storages_;  // (on the CPU, on the device)
};

// Draw from a device's generator: the default generator of the CPU has its state during the call.

class Drawing {
  public:
    explicit Drawing(at::Generator generator) : generator_(std::move(generator)), saved_(cpu_.get_state()) {
        cpu_.set_state(generator_.get_state());
    }
    Drawing(const Drawing&) = delete;
    ~Drawing() {
        generator_.set_state(cpu_.get_state());
        cpu_.set_state(saved_);
    }

  private:
    at::Generator cpu_ = at::detail::getDefaultCPUGenerator(), generator_;
    at::Tensor saved_;
};

// On CUDA the host waits for these: they return a number, or the size of their result depends on the values.
const std::set<std::string> kWaiting = {
    "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::_unique", "aten::_unique2",
    "aten::unique_dim", "aten::unique_consecutive", "aten::unique_dim_consecutive", "aten::bincount",
    "aten::histc", "aten::equal", "aten::multinomial"};

// Arguments of these may be on the CPU on CUDA, too. Lengths on the device are read, indices are copied to it.
const std::set<std::string> kIndexing = {
    "aten::index", "aten::_unsafe_index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"};
const std::set<std::string> kTakesLengths = {"aten::_ctc_loss", "aten::_ctc_loss_backward"};

template <class Function>
void for_each_tensor(const c10::IValue& value, Function function) {
    if (value.isTensor()) {
        if (value.toTensor().defined()) function(value.toTensor());
    } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorVector())
            if (tensor.defined()) function(tensor);
    } else if (value.isOptionalTensorList()) {
        for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
            if (tensor.has_value() && tensor->defined()) function(*tensor);
    }
}

void check_and_report(const c10::FunctionSchema& schema, const c10::IValue* values, c10::Device device) {
    const auto& name = schema.name();
    const auto& arguments = schema.arguments();
    const bool indexing = kIndexing.count(name), takes_lengths = kTakesLengths.count(name);
    // `index` itself calls `nonzero` for masks and copies indices; one value at the places of a mask is a masked_fill.
    const bool puts = name.find("index_put") != std::string::npos && values[2].toTensor().numel() != 1;
    bool waits = kWaiting.count(name) ||
                 (name == "aten::repeat_interleave" && values[arguments.size() - 1].isNone());  // no output_size
    for (size_t i = 0; i < arguments.size(); ++i) {
        const auto* alias = arguments[i].alias_info();
        const bool indices = indexing && arguments[i].name() == "indices";
        const bool lengths = takes_lengths && arguments[i].name().find("lengths") != std::string::npos;
        const bool one_tensor = values[i].isTensor() && !(alias != nullptr && alias->isWrite());
        for_each_tensor(values[i], [&](const at::Tensor& tensor) {
            const bool mask = tensor.scalar_type() == at::kBool || tensor.scalar_type() == at::kByte;
            if (indices && mask && puts) waits = true;
            if (tensor.device() == device) {
                if (lengths) waits = true;
                return;
            }
            const bool allowed = indices || lengths || (one_tensor && tensor.dim() == 0);
            TORCH_CHECK(
                tensor.is_cpu() && allowed, "strict: ", name, " got the argument '", arguments[i].name(),
                "' of shape ", tensor.sizes(), " on ", tensor.device(), ", but another tensor is on ", device);
            if (indices && puts) report("write", name);
        });
    }
    if (waits) report("read", name);
}

c10::Device device_of(const c10::IValue* values, size_t count) {
    std::optional<c10::Device> found;
    for (size_t i = 0; i < count && !found; ++i)
        for_each_tensor(values[i], [&](const at::Tensor& tensor) {
            if (!found && tensor.device().type() == kStrict) found = tensor.device();
        });
    for (size_t i = 0; i < count && !found; ++i)
        if (values[i].isDevice() && values[i].toDevice().type() == kStrict && values[i].toDevice().has_index())
            found = values[i].toDevice();
    return found.value_or(c10::Device(kStrict, current_device));
}

void fallback(const c10::OperatorHandle& op, Stack* stack) {
    const auto& schema = op.schema();
    const size_t count = schema.arguments().size(), first = stack->size() - count;
    const c10::Device device = device_of(stack->data() + first, count);
    check_and_report(schema, stack->data() + first, device);

    Call call(device.index());
    const auto moved = [&](const at::Tensor& tensor) {
        return tensor.defined() && tensor.device().type() == kStrict ? call.to_cpu(tensor) : tensor;
    };
    at::Generator generator = default_generator(device.index());
    for (size_t i = 0; i < count; ++i) {
        c10::IValue& value = (*stack)[first + i];
        if (value.isTensor()) {
            value = moved(value.toTensor());
        } else if (value.isTensorList()) {
            c10::List<at::Tensor> list;
            for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(moved(tensor));
            value = list;
        } else if (value.isOptionalTensorList()) {
            c10::List<std::optional<at::Tensor>> list;
            for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector())
                list.push_back(tensor.has_value() ? std::optional<at::Tensor>(moved(*tensor)) : std::nullopt);
            value = list;
        } else if (value.isDevice() && value.toDevice().type() == kStrict) {
            value = c10::Device(c10::kCPU);
        } else if (value.isGenerator()) {
            TORCH_CHECK(
                value.toGenerator().device() == device, "strict: ", schema.name(), " got a generator of ",
                value.toGenerator().device(), ", but the tensors are on ", device);
            generator = value.toGenerator();
            value = c10::IValue();
        }
    }
    {
        const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
        std::optional<Drawing> drawing;
        if (op.hasTag(at::Tag::nondeterministic_seeded)) drawing.emplace(generator);
        op.callBoxed(stack);
    }
    call.write_back();
    for (size_t i = stack->size() - schema.returns().size(); i < stack->size(); ++i) {
        c10::IValue& value = (*stack)[i];
        if (value.isTensor()) {
            value = call.to_device(value.toTensor());
        } else if (value.isTensorList()) {
            c10::List<at::Tensor> list;
            for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(call.to_device(tensor));
            value = list;
        }
    }
}

// The kernels that a fallback cannot be.

const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

struct OnDevice {
    explicit OnDevice(std::optional<c10::Device> device) {
        if (device && device->has_index()) current_device = device->index();
    }
    OnDevice(const OnDevice&) = delete;
    ~OnDevice() { current_device = saved; }
    c10::DeviceIndex saved = current_device;
};

at::Tensor empty(
    at::IntArrayRef size, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>, std::optional<at::MemoryFormat> format) {
    const OnDevice on(device);
    return at::detail::empty_generic(size, &device_allocator, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(
    at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
    std::optional<at::Device> device, std::optional<bool>) {
    const OnDevice on(device);
    return at::detail::empty_strided_generic(size, stride, &device_allocator, kKeys, c10::dtype_or_default(dtype));
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
    const c10::Device device = from.device().type() == kStrict ? from.device() : to.device();
    if (to.is_cpu()) report("read", "copy to the CPU");
    else if (from.is_cpu() && from.numel() && !(non_blocking && is_pinned(from.const_data_ptr())))
        report("write", "copy from the CPU");
    Call call(device.index());
    at::Tensor target = to.is_cpu() ? to : call.to_cpu(to);
    target.copy_(from.is_cpu() ? from : call.to_cpu(from));
    return to;
}

const at::Tensor& resize(const at::Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
    auto* impl = self.unsafeGetTensorImpl();
    impl->set_sizes_contiguous(size);
    const size_t bytes = (self.numel() + self.storage_offset()) * self.itemsize();
    if (bytes > self.storage().nbytes())
        static_cast<const Hooks&>(at::detail::getPrivateUse1Hooks()).resizePrivateUse1Bytes(self.storage(), bytes);
    return self;
}

at::Tensor& set_storage(
    at::Tensor& self, at::Storage storage, int64_t offset, at::IntArrayRef size, at::IntArrayRef stride) {
    auto* impl = self.unsafeGetTensorImpl();
    impl->set_storage_keep_dtype(std::move(storage));
    if (stride.empty()) impl->set_sizes_contiguous(size), impl->set_storage_offset(offset);
    else impl->set_sizes_and_strides(size, stride, offset);
    return self;
}

at::Tensor& set_whole(at::Tensor& self, at::Storage storage) {
    const int64_t size = storage.nbytes() / self.itemsize();
    return set_storage(self, std::move(storage), 0, {size}, {});
}

at::Tensor& set_tensor(at::Tensor& self, const at::Tensor& source) {
    return set_storage(self, source.storage(), source.storage_offset(), source.sizes(), source.strides());
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
    m.impl("empty.memory_format", empty);
    m.impl("empty_strided", empty_strided);
    m.impl("_copy_from", copy_from);
    m.impl("resize_", resize);
    m.impl("set_.source_Storage_storage_offset", set_storage);
    m.impl("set_.source_Storage", set_whole);
    m.impl("set_.source_Tensor", set_tensor);
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    c10::SetAllocator(kStrict, &device_allocator);
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    m.def("listen", [](pybind11::object function) {
        return pybind11::reinterpret_steal<pybind11::object>(std::exchange(listener, function.release().ptr()));
    });
    m.def("current_device", [] { return int(current_device); });
    m.def("set_device", [](int index) { current_device = c10::DeviceIndex(index); });
    m.def("device_count", [] { return int(kDevices); });
    m.def("default_generator", [](int index) { return default_generator(c10::DeviceIndex(index)); });
}
