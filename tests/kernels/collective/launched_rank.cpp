// One rank as a launcher starts it: joins the group over TCP, runs two all-reduces that check
// themselves against the fp64 sum, and prints the hash of the result. For mpi_launcher_test.
#include <cstdio>

#include "group_runner.h"

int main() {
  using namespace foretoken::kernels;
  try {
    TcpOptions options;
    if (!tcp_options_from_launcher(options)) {
      std::fprintf(stderr, "no launcher\n");
      return 2;
    }
    const auto transport = connect_tcp(options);
    const std::uint64_t first =
        all_reduce_rank(*transport, {Algorithm::two_step, "int8", "int8", 2}, 30011);
    const std::uint64_t second =
        all_reduce_rank(*transport, {Algorithm::ring, "fp32", "fp32", 1}, 777);
    std::printf("hash %016llx ranks %d\n", static_cast<unsigned long long>(first * 31 + second),
                transport->ranks());
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
