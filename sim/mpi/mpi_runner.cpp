#include "sim/mpi/mpi_runner.h"

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>

#include "sim/core/error.h"
#include "sim/plan/evaluate.h"

namespace foretoken::mpi {
namespace {

enum Tag : int { kTask = 1, kAnswer, kStop, kBye, kVerdict };

constexpr auto kPoll = std::chrono::microseconds(200);
constexpr auto kPatience = std::chrono::seconds(10);  // for ranks that may be in a last run

struct Answer {
  std::int64_t serial = 0;
  plan::Outcome outcome;
};
static_assert(std::is_trivially_copyable_v<Answer>);

std::vector<std::int64_t> packed(const plan::Task& task, std::int64_t serial) {
  std::vector<std::int64_t> words{
      serial,     static_cast<std::int64_t>(task.kind),    task.configuration, task.high,
      task.guess, static_cast<std::int64_t>(task.failure), task.replication,   task.replications};
  for (const plan::RungFloor& floor : task.floors) {
    words.insert(words.end(), {floor.level, floor.rung});
  }
  return words;
}

plan::Task unpacked(const std::vector<std::int64_t>& words) {
  FT_CHECK(words.size() >= 8 && words.size() % 2 == 0);
  plan::Task task;
  task.kind = static_cast<plan::Task::Kind>(words[1]);
  task.configuration = static_cast<std::uint32_t>(words[2]);
  task.high = static_cast<std::int32_t>(words[3]);
  task.guess = static_cast<std::int32_t>(words[4]);
  task.failure = static_cast<plan::Failure>(words[5]);
  task.replication = static_cast<std::int32_t>(words[6]);
  task.replications = static_cast<std::int32_t>(words[7]);
  for (std::size_t i = 8; i < words.size(); i += 2) {
    task.floors.push_back(
        {static_cast<std::int32_t>(words[i]), static_cast<std::int32_t>(words[i + 1])});
  }
  return task;
}

std::optional<MPI_Status> waiting(int tag) {
  int there = 0;
  MPI_Status status;
  MPI_Iprobe(MPI_ANY_SOURCE, tag, MPI_COMM_WORLD, &there, &status);
  return there != 0 ? std::optional(status) : std::nullopt;
}

void signal_rank(int rank, Tag tag, int value = 0) {
  MPI_Send(&value, 1, MPI_INT, rank, tag, MPI_COMM_WORLD);
}

int receive_signal(int rank, Tag tag) {
  int value = 0;
  MPI_Recv(&value, 1, MPI_INT, rank, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
  return value;
}

}  // namespace

Session::Session(int& argc, char**& argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  FT_CHECK(provided >= MPI_THREAD_FUNNELED, "this MPI allows no threads");
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
}

void Session::end(int status) {
  bool all = true;
  if (rank_ == 0) {
    for (int rank = 1; rank < size_; ++rank) {
      signal_rank(rank, kStop);
    }
    int left = 0;
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (left < size_ - 1 && std::chrono::steady_clock::now() < deadline) {
      if (const auto message = waiting(kBye)) {
        receive_signal(message->MPI_SOURCE, kBye);
        ++left;
      } else {
        std::this_thread::sleep_for(kPoll);
      }
    }
    all = left == size_ - 1;
    for (int rank = 1; rank < size_; ++rank) {
      signal_rank(rank, kVerdict, all ? 1 : 0);
    }
  } else {
    signal_rank(0, kBye);
    all = receive_signal(0, kVerdict) == 1;
  }
  if (all) {
    MPI_Finalize();
    std::exit(status);
  }
  std::fflush(nullptr);
  std::_Exit(status);
}

// The tasks of one call: which are handed out, and which are done.
class MpiRunner::Batch {
 public:
  explicit Batch(std::size_t count) : copies_(count, 0), done_(count, false), open_(count) {}

  // The next task nobody has; else the one that fewest work on, when `again` allows it.
  std::optional<std::size_t> take(bool again) {
    const std::lock_guard lock(mutex_);
    if (next_ < done_.size()) {
      copies_[next_] = 1;
      return next_++;
    }
    std::optional<std::size_t> best;
    for (std::size_t i = 0; again && i < done_.size(); ++i) {
      if (!done_[i] && copies_[i] < kMostCopies && (!best || copies_[i] < copies_[*best])) {
        best = i;
      }
    }
    if (best) {
      ++copies_[*best];
    }
    return best;
  }
  // Calls `tell` for the first answer to a task.
  template <class Tell>
  void finish(std::size_t task, Tell tell) {
    const std::lock_guard lock(mutex_);
    if (!done_[task]) {
      done_[task] = true;
      tell();
      --open_;
    }
  }
  bool finished() {
    const std::lock_guard lock(mutex_);
    return open_ == 0;
  }

 private:
  static constexpr int kMostCopies = 3;
  std::mutex mutex_;
  std::vector<int> copies_;
  std::vector<bool> done_;
  std::size_t open_;
  std::size_t next_ = 0;
};

MpiRunner::MpiRunner(const plan::Space& space, const Session& session)
    : space_(space), busy_(static_cast<std::size_t>(session.size()), false) {}

void MpiRunner::run(std::span<const plan::Task> tasks,
                    const std::function<void(std::size_t, const plan::Outcome&)>& done) {
  Batch batch(tasks.size());
  const std::int64_t first = first_;
  first_ += static_cast<std::int64_t>(tasks.size());
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  // Rank 0's own share. It takes over anything in the end, so that the search ends without others.
  std::thread own([&] {
    try {
      while (!batch.finished()) {
        if (const auto task = batch.take(true)) {
          const plan::Outcome outcome = plan::evaluate(space_, tasks[*task]);
          batch.finish(*task, [&] { done(*task, outcome); });
        } else {
          std::this_thread::sleep_for(kPoll);
        }
      }
    } catch (...) {
      failure = std::current_exception();
      failed = true;
    }
  });
  while (!failed && !batch.finished()) {
    for (std::size_t rank = 1; rank < busy_.size(); ++rank) {
      const auto task = busy_[rank] ? std::nullopt : batch.take(true);
      if (task) {
        const auto words = packed(tasks[*task], first + static_cast<std::int64_t>(*task));
        MPI_Send(words.data(), static_cast<int>(words.size()), MPI_INT64_T, static_cast<int>(rank),
                 kTask, MPI_COMM_WORLD);
        busy_[rank] = true;
      }
    }
    if (const auto message = waiting(kAnswer)) {
      Answer answer;
      MPI_Recv(&answer, sizeof answer, MPI_BYTE, message->MPI_SOURCE, kAnswer, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
      busy_[static_cast<std::size_t>(message->MPI_SOURCE)] = false;
      if (answer.serial >= first) {  // else of a batch that ended without it
        const auto task = static_cast<std::size_t>(answer.serial - first);
        batch.finish(task, [&] { done(task, answer.outcome); });
      }
    } else {
      std::this_thread::sleep_for(kPoll);
    }
  }
  own.join();
  if (failure) {
    std::rethrow_exception(failure);
  }
}

void serve(const plan::Space& space) {
  for (;;) {
    const auto message = waiting(MPI_ANY_TAG);
    if (!message) {
      std::this_thread::sleep_for(kPoll);
      continue;
    }
    if (message->MPI_TAG == kStop) {
      receive_signal(0, kStop);
      return;
    }
    int count = 0;
    MPI_Get_count(&*message, MPI_INT64_T, &count);
    std::vector<std::int64_t> words(static_cast<std::size_t>(count));
    MPI_Recv(words.data(), count, MPI_INT64_T, 0, kTask, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    Answer answer;
    answer.serial = words.front();
    answer.outcome = plan::evaluate(space, unpacked(words));
    MPI_Send(&answer, sizeof answer, MPI_BYTE, 0, kAnswer, MPI_COMM_WORLD);
  }
}

}  // namespace foretoken::mpi
