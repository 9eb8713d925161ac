// The anchor of `collective_bench --openmpi`: MPI_Allreduce of fp32 sums. Arguments are sizes in
// bytes; rank 0 prints "bytes seconds seconds-with-reading" lines, medians over rounds. The second
// time includes that every rank reads its result.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/collective/bench/read_result.h"

namespace {

volatile std::uint64_t result_read = 0;

double median_seconds(std::vector<float>& in, std::vector<float>& out, int runs, bool read) {
  std::vector<double> rounds;
  for (int round = 0; round < 21; ++round) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double begin = MPI_Wtime();
    for (int i = 0; i < runs; ++i) {
      MPI_Allreduce(in.data(), out.data(), static_cast<int>(in.size()), MPI_FLOAT, MPI_SUM,
                    MPI_COMM_WORLD);
      if (read) {
        result_read = foretoken::kernels::read_result(out);
      }
    }
    rounds.push_back((MPI_Wtime() - begin) / runs);
  }
  std::sort(rounds.begin(), rounds.end());
  return rounds[rounds.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int a = 1; a < argc; ++a) {
    const long bytes = std::atol(argv[a]);
    std::vector<float> in(static_cast<std::size_t>(bytes / 4), 0.5F + static_cast<float>(rank));
    std::vector<float> out(in.size());
    const int runs = bytes <= 65536 ? 200 : 20;
    const double plain = median_seconds(in, out, runs, false);
    const double read = median_seconds(in, out, runs, true);
    if (rank == 0) {
      std::printf("%ld %.9f %.9f\n", bytes, plain, read);
    }
  }
  MPI_Finalize();
  return 0;
}
