#include "calibrate/runtime/rank_group.h"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <exception>
#include <future>
#include <thread>

#include "calibrate/bench/machine.h"
#include "kernels/collective/tcp_transport.h"
#include "sim/core/error.h"

namespace foretoken::runtime {
namespace {

// A follower waits as long as no request comes; a broken connection ends it at once.
constexpr std::chrono::milliseconds kPatience{600'000};

void pin_to_rank(const std::vector<int>& cores, int rank) {
  calibrate::pin_to_core(cores[static_cast<std::size_t>(rank) % cores.size()]);
}

kernels::TcpOptions options_of(int rank, int ranks, int port, const std::string& host) {
  kernels::TcpOptions options;
  options.rank = rank;
  options.ranks = ranks;
  options.root_host = host;
  options.root_port = port;
  options.timeout = kPatience;
  return options;
}

[[noreturn]] void run_child(const std::function<void()>& body) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  int status = 0;
  try {
    body();
  } catch (const std::exception& error) {
    fmt::print(stderr, "foretoken: another rank: {}\n", error.what());
    status = 1;
  }
  ::_exit(status);
}

}  // namespace

std::string parse_wire(const std::string& text) {
  if (text == "unpaced") {
    return "";
  }
  std::size_t digits = 0;
  while (digits < text.size() && (std::isdigit(static_cast<unsigned char>(text[digits])) != 0)) {
    ++digits;
  }
  std::string unit = text.substr(digits);
  for (char& c : unit) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  if (digits == 0 || digits > 5 || (unit != "gbit" && unit != "mbit")) {
    throw InputError(fmt::format("--wire {}: not a rate (try 1Gbit, 250Mbit, or unpaced)", text));
  }
  return text.substr(0, digits) + unit;
}

RankGroup::RankGroup(int ranks, const std::optional<std::string>& wire,
                     const std::function<void(kernels::Transport&)>& follower)
    : cores_(calibrate::allowed_cores()) {
  CPU_ZERO(&before_);
  sched_getaffinity(0, sizeof before_, &before_);
  pin_to_rank(cores_, 0);
  if (ranks == 1) {
    return;
  }
  if (wire) {
    if (const std::string why = kernels::PacedLink::obstacle(); !why.empty()) {
      throw InputError(
          fmt::format("--wire: {}; leave the option out for the loopback device", why));
    }
    if (ranks != 2) {
      throw InputError("--wire: joins two ranks; set parallel.tensor to 2");
    }
    link_ = std::make_unique<kernels::PacedLink>(*wire);
  }
  const std::string host = link_ ? link_->address(0) : "127.0.0.1";
  // A namespace belongs to a thread, and a socket to the namespace in which it was made: another
  // thread makes them, so that this one stays where it is.
  const auto there = [this](auto make) {
    return std::async(std::launch::async,
                      [this, &make] {
                        if (link_) {
                          link_->enter(0);
                        }
                        return make();
                      })
        .get();
  };
  const auto listener = there([] { return std::make_unique<kernels::TcpListener>(); });
  for (int rank = 1; rank < ranks; ++rank) {
    const pid_t child = ::fork();
    FT_CHECK(child >= 0, "fork failed");
    if (child == 0) {
      run_child([&] {
        if (link_) {
          link_->enter(rank);
        }
        pin_to_rank(cores_, rank);
        const auto transport = connect_tcp(options_of(rank, ranks, listener->port(), host));
        follower(*transport);
      });
    }
    children_.push_back(child);
  }
  transport_ = there(
      [&] { return connect_tcp(options_of(0, ranks, listener->port(), host), listener.get()); });
}

RankGroup::~RankGroup() {
  transport_.reset();
  for (const pid_t child : children_) {
    ::waitpid(child, nullptr, 0);
  }
  sched_setaffinity(0, sizeof before_, &before_);
}

}  // namespace foretoken::runtime
