// The anchor of `collective_bench --openmpi`: MPI_Allreduce of fp32 sums. Arguments are sizes in
// bytes; rank 0 prints "bytes seconds" lines, the median over rounds.
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  for (int a = 1; a < argc; ++a) {
    const long bytes = std::atol(argv[a]);
    const int count = static_cast<int>(bytes / 4);
    std::vector<float> in(static_cast<std::size_t>(count), 0.5F + static_cast<float>(rank));
    std::vector<float> out(in.size());
    const int runs = bytes <= 65536 ? 200 : 20;
    std::vector<double> rounds;
    for (int round = 0; round < 21; ++round) {
      MPI_Barrier(MPI_COMM_WORLD);
      const double begin = MPI_Wtime();
      for (int i = 0; i < runs; ++i) {
        MPI_Allreduce(in.data(), out.data(), count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      }
      rounds.push_back((MPI_Wtime() - begin) / runs);
    }
    std::sort(rounds.begin(), rounds.end());
    if (rank == 0) {
      std::printf("%ld %.9f\n", bytes, rounds[rounds.size() / 2]);
    }
  }
  MPI_Finalize();
  return 0;
}
