#include "kernels/collective/nccl.h"

#include <fmt/format.h>

#include "kernels/base/dynamic_library.h"
#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

// NCCL's binary interface, stable since 2.7: results and types are ints, communicators pointers.
constexpr int kSuccess = 0;
constexpr int kSum = 0;

int type_code(ValueType type) {
  switch (type) {
    case ValueType::fp16:
      return 6;
    case ValueType::fp32:
      return 7;
    case ValueType::bf16:
      return 9;
  }
  return 7;
}

}  // namespace

struct NcclLibrary::Functions {
  using GetVersion = int(int*);
  using GetErrorString = const char*(int);
  using GetUniqueId = int(NcclId*);
  using CommInitRank = int(void**, int, NcclId, int);
  using CommDestroy = int(void*);
  using AllReduce = int(const void*, void*, std::size_t, int, int, void*, void*);
  using AllGather = int(const void*, void*, std::size_t, int, void*, void*);
  using ReduceScatter = int(const void*, void*, std::size_t, int, int, void*, void*);
  using SendTo = int(const void*, std::size_t, int, int, void*, void*);
  using ReceiveFrom = int(void*, std::size_t, int, int, void*, void*);
  using Group = int();

  explicit Functions(const DynamicLibrary& l)
      : get_version(l.symbol<GetVersion>("ncclGetVersion")),
        get_error_string(l.symbol<GetErrorString>("ncclGetErrorString")),
        get_unique_id(l.symbol<GetUniqueId>("ncclGetUniqueId")),
        comm_init_rank(l.symbol<CommInitRank>("ncclCommInitRank")),
        comm_destroy(l.symbol<CommDestroy>("ncclCommDestroy")),
        all_reduce(l.symbol<AllReduce>("ncclAllReduce")),
        all_gather(l.symbol<AllGather>("ncclAllGather")),
        reduce_scatter(l.symbol<ReduceScatter>("ncclReduceScatter")),
        send(l.symbol<SendTo>("ncclSend")),
        receive(l.symbol<ReceiveFrom>("ncclRecv")),
        group_start(l.symbol<Group>("ncclGroupStart")),
        group_end(l.symbol<Group>("ncclGroupEnd")) {}

  void check(int result, const char* what) const {
    if (result != kSuccess) {
      throw KernelError(fmt::format("{}: {}", what, get_error_string(result)));
    }
  }

  GetVersion* get_version;
  GetErrorString* get_error_string;
  GetUniqueId* get_unique_id;
  CommInitRank* comm_init_rank;
  CommDestroy* comm_destroy;
  AllReduce* all_reduce;
  AllGather* all_gather;
  ReduceScatter* reduce_scatter;
  SendTo* send;
  ReceiveFrom* receive;
  Group* group_start;
  Group* group_end;
};

struct NcclLibrary::Data {
  explicit Data(const std::string& path)
      : library("NCCL", {path.empty() ? "libnccl.so.2" : path}), functions(library) {}
  DynamicLibrary library;
  Functions functions;
};

NcclLibrary::NcclLibrary(const std::string& path)
    : data_(std::make_unique<Data>(path)), functions_(&data_->functions) {}

NcclLibrary::~NcclLibrary() = default;

int NcclLibrary::version() const {
  int version = 0;
  functions_->check(functions_->get_version(&version), "ncclGetVersion");
  return version;
}

NcclId NcclCommunicator::make_id(const NcclLibrary& library) {
  NcclId id{};
  const auto& f = library.functions();
  f.check(f.get_unique_id(&id), "ncclGetUniqueId");
  return id;
}

NcclCommunicator::NcclCommunicator(const NcclLibrary& library, const NcclId& id, int ranks,
                                   int rank)
    : library_(library), ranks_(ranks) {
  const auto& f = library.functions();
  f.check(f.comm_init_rank(&comm_, ranks, id, rank), "ncclCommInitRank");
}

NcclCommunicator::~NcclCommunicator() { library_.functions().comm_destroy(comm_); }

std::size_t NcclCommunicator::share(std::size_t values) const {
  const auto ranks = static_cast<std::size_t>(ranks_);
  if (values % ranks != 0) {
    throw KernelError(
        fmt::format("NCCL: {} values are not a multiple of {} ranks", values, ranks_));
  }
  return values / ranks;
}

void NcclCommunicator::all_reduce(const void* in, void* out, std::size_t values, ValueType type,
                                  void* stream) {
  const auto& f = library_.functions();
  f.check(f.all_reduce(in, out, values, type_code(type), kSum, comm_, stream), "ncclAllReduce");
}

void NcclCommunicator::all_gather(const void* in, void* out, std::size_t values, ValueType type,
                                  void* stream) {
  const auto& f = library_.functions();
  f.check(f.all_gather(in, out, share(values), type_code(type), comm_, stream), "ncclAllGather");
}

void NcclCommunicator::reduce_scatter(const void* in, void* out, std::size_t values, ValueType type,
                                      void* stream) {
  const auto& f = library_.functions();
  f.check(f.reduce_scatter(in, out, share(values), type_code(type), kSum, comm_, stream),
          "ncclReduceScatter");
}

// One send and one receive a peer, posted as one group so that none waits for another.
void NcclCommunicator::all_to_all(const void* in, void* out, std::size_t values, ValueType type,
                                  void* stream) {
  const auto& f = library_.functions();
  const std::size_t each = share(values);
  const std::size_t stride = each * value_bytes(type);
  f.check(f.group_start(), "ncclGroupStart");
  for (int peer = 0; peer < ranks_; ++peer) {
    const std::size_t at = static_cast<std::size_t>(peer) * stride;
    f.check(f.send(static_cast<const char*>(in) + at, each, type_code(type), peer, comm_, stream),
            "ncclSend");
    f.check(f.receive(static_cast<char*>(out) + at, each, type_code(type), peer, comm_, stream),
            "ncclRecv");
  }
  f.check(f.group_end(), "ncclGroupEnd");
}

}  // namespace foretoken::kernels
