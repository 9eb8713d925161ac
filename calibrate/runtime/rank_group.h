// The ranks of a tensor group on this machine: the calling process is rank 0, the others are child
// processes, one core each, joined over TCP: on the loopback device, or through two network
// namespaces with a paced link between them.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/collective/paced_link.h"
#include "kernels/collective/transport.h"

namespace foretoken::runtime {

// "unpaced", or a rate such as "1Gbit" or "250Mbit", as `tc` writes it. Throws InputError.
std::string parse_wire(const std::string& text);

class RankGroup {
 public:
  // `wire`: nothing for the loopback device; else as parse_wire returns it. `follower` is what a
  // child does before it ends. One rank: no transport, nothing is started. Pins the calling thread.
  // Throws InputError where the machine does not allow the wire (it needs root and iproute2).
  RankGroup(int ranks, const std::optional<std::string>& wire,
            const std::function<void(kernels::Transport&)>& follower);
  ~RankGroup();  // closes the connection and waits for the children
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  kernels::Transport* transport() { return transport_.get(); }
  // That the calling thread might use before: rank r is pinned to the r-th, counted round.
  const std::vector<int>& cores() const { return cores_; }

 private:
  cpu_set_t before_;  // of the calling thread
  std::vector<int> cores_;
  std::unique_ptr<kernels::PacedLink> link_;
  std::unique_ptr<kernels::Transport> transport_;
  std::vector<pid_t> children_;
};

}  // namespace foretoken::runtime
