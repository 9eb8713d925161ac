// A recording stand-in for libnccl.so.2: every call is appended to a text that the test reads.
#include <array>
#include <cstddef>
#include <sstream>
#include <string>

namespace {

std::ostringstream& log() {
  static std::ostringstream text;
  return text;
}

int failing_result = 0;  // what ncclAllReduce answers

struct Id {
  std::array<char, 128> bytes;
};

}  // namespace

extern "C" {

const char* fake_nccl_log() {
  static std::string text;
  text = log().str();
  return text.c_str();
}
void fake_nccl_fail(int result) { failing_result = result; }

int ncclGetVersion(int* version) {
  *version = 22809;
  return 0;
}
const char* ncclGetErrorString(int result) {
  return result == 2 ? "unhandled system error" : "no error";
}
int ncclGetUniqueId(Id* id) {
  id->bytes.fill('u');
  return 0;
}
int ncclCommInitRank(void** comm, int ranks, Id id, int rank) {
  static int token;
  *comm = &token;
  log() << "init " << rank << " of " << ranks << " id " << id.bytes[0] << id.bytes[127] << "\n";
  return 0;
}
int ncclCommDestroy(void*) {
  log() << "destroy\n";
  return 0;
}
int ncclAllReduce(const void*, void*, std::size_t count, int type, int op, void*, void*) {
  log() << "all_reduce " << count << " type " << type << " op " << op << "\n";
  return failing_result;
}
int ncclAllGather(const void*, void*, std::size_t count, int type, void*, void*) {
  log() << "all_gather " << count << " type " << type << "\n";
  return 0;
}
int ncclReduceScatter(const void*, void*, std::size_t count, int type, int op, void*, void*) {
  log() << "reduce_scatter " << count << " type " << type << " op " << op << "\n";
  return 0;
}
int ncclSend(const void* from, std::size_t count, int type, int peer, void*, void*) {
  log() << "send " << count << " type " << type << " to " << peer << " first "
        << static_cast<int>(*static_cast<const unsigned char*>(from)) << "\n";
  return 0;
}
int ncclRecv(void*, std::size_t count, int type, int peer, void*, void*) {
  log() << "receive " << count << " type " << type << " from " << peer << "\n";
  return 0;
}
int ncclGroupStart() {
  log() << "group {\n";
  return 0;
}
int ncclGroupEnd() {
  log() << "}\n";
  return 0;
}
}
