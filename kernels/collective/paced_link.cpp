#include "kernels/collective/paced_link.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

bool run(const std::string& command) {
  return std::system(fmt::format("{} >/dev/null 2>&1", command).c_str()) == 0;
}

void must(const std::string& command) {
  if (!run(command)) {
    throw KernelError(
        fmt::format("paced link: \"{}\" failed (is CAP_NET_ADMIN granted?)", command));
  }
}

std::string end_name(int id, int end) { return fmt::format("ftk{}{}", id, end == 0 ? 'a' : 'b'); }

}  // namespace

std::string PacedLink::obstacle() {
  if (::geteuid() != 0) {
    return "network namespaces need root";
  }
  if (!run("ip -V") || !run("tc -V")) {
    return "the programs ip and tc are missing (iproute2)";
  }
  return "";
}

PacedLink::PacedLink(const std::string& rate) : id_(static_cast<int>(::getpid() % 100000)) {
  if (const std::string why = obstacle(); !why.empty()) {
    throw KernelError(fmt::format("paced link: {}", why));
  }
  try {
    const std::string pair[] = {end_name(id_, 0), end_name(id_, 1)};
    must(fmt::format("ip netns add {}", space(0)));
    must(fmt::format("ip netns add {}", space(1)));
    must(fmt::format("ip link add {} type veth peer name {}", pair[0], pair[1]));
    for (int end = 0; end < 2; ++end) {
      const std::string in = fmt::format("ip netns exec {}", space(end));
      must(fmt::format("ip link set {} netns {}", pair[end], space(end)));
      must(fmt::format("{} ip addr add {}/24 dev {}", in, address(end), pair[end]));
      must(fmt::format("{} ip link set {} up", in, pair[end]));
      must(fmt::format("{} ip link set lo up", in));
      if (!rate.empty()) {
        // A bucket of 128 KiB lets 1 ms at 1 Gbit/s through at once; the queue holds 50 ms.
        must(fmt::format("{} tc qdisc add dev {} root tbf rate {} burst 131072 latency 50ms", in,
                         pair[end], rate));
      }
    }
  } catch (...) {
    remove();
    throw;
  }
}

PacedLink::~PacedLink() { remove(); }

void PacedLink::remove() const {  // with its namespace the link goes too
  run(fmt::format("ip netns del {}", space(0)));
  run(fmt::format("ip netns del {}", space(1)));
}

std::string PacedLink::space(int end) const {
  return fmt::format("foretoken-{}-{}", id_, end == 0 ? "a" : "b");
}

std::string PacedLink::address(int end) const { return fmt::format("10.203.77.{}", end + 1); }

void PacedLink::enter(int end) const {
  const std::string path = fmt::format("/var/run/netns/{}", space(end));
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0 || ::setns(descriptor, CLONE_NEWNET) != 0) {
    throw KernelError(fmt::format("paced link: cannot enter {}: {}", path, std::strerror(errno)));
  }
  ::close(descriptor);
}

}  // namespace foretoken::kernels
