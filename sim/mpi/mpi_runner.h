// The tasks of a search on the ranks of an MPI job. Rank 0 hands out one task at a time to every
// other rank and computes too; when nothing is left to hand out, idle ranks take over tasks whose
// answer is still missing. So a rank that dies is never waited for, and costs its run in flight.
//
// Start the job with `mpirun --enable-recovery`: without it mpirun itself ends all ranks when one
// dies. The only user of MPI.
#pragma once

#include <cstdint>

#include "sim/plan/space.h"
#include "sim/plan/task.h"

namespace foretoken::mpi {

class Session {
 public:
  Session(int& argc, char**& argv);
  // Ends MPI in step with the others; where one has died, ends this process with `status` at once,
  // because MPI would wait for it.
  [[noreturn]] void end(int status);
  int rank() const { return rank_; }
  int size() const { return size_; }

 private:
  int rank_ = 0;
  int size_ = 1;
};

// Of rank 0.
class MpiRunner final : public plan::TaskRunner {
 public:
  MpiRunner(const plan::Space& space, const Session& session);
  void run(std::span<const plan::Task> tasks,
           const std::function<void(std::size_t, const plan::Outcome&)>& done) override;

 private:
  class Batch;
  const plan::Space& space_;
  std::vector<bool> busy_;  // by rank; a dead rank stays busy
  std::int64_t first_ = 0;  // serial number of the first task of the batch
};

// Of the other ranks: computes what rank 0 hands out until it says that all is done.
void serve(const plan::Space& space);

}  // namespace foretoken::mpi
