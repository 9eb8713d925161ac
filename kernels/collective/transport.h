// How bytes travel between the ranks of a collective. One seam, several wires: threads in shared
// memory (thread_transport.h) and processes over TCP (tcp_transport.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/error.h"

namespace foretoken::kernels {

// A peer died, left, or did not answer within the time-out.
class TransportError : public KernelError {
 public:
  using KernelError::KernelError;
};

struct Send {
  int peer;
  std::span<const std::uint8_t> bytes;
};

struct Receive {
  int peer;
  std::span<std::uint8_t> bytes;
};

// What one rank sends and receives together. Between two ranks, messages match in order, and both
// sides agree on every size. Empty messages are left out by both.
struct Exchange {
  std::vector<Send> sends;
  std::vector<Receive> receives;

  void send(int peer, std::span<const std::uint8_t> bytes) {
    if (!bytes.empty()) {
      sends.push_back({peer, bytes});
    }
  }
  void receive(int peer, std::span<std::uint8_t> bytes) {
    if (!bytes.empty()) {
      receives.push_back({peer, bytes});
    }
  }
  void clear() {
    sends.clear();
    receives.clear();
  }
};

// One rank's end. Used by one thread. Contract: an exchange and its buffers stay valid and sent
// bytes unchanged from start() until finish() returns. After a TransportError the group is broken:
// every rank gets an error, at the latest when its time-out ends, and nothing can be sent any more.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  // Begins the exchange without waiting for peers; one at a time.
  virtual void start(const Exchange& exchange) = 0;
  // Returns when everything is received and every sent buffer may be reused.
  virtual void finish() = 0;

  // Ranks in one address space may work in each other's buffers instead of sending them. A rank
  // tells its peers where its buffers lie and leaves them alone until every peer has said, by a
  // message, that it is done. A peer touches them only between hold() and release(), between which
  // it sends and receives nothing; hold() throws TransportError where a peer has failed, and a rank
  // that fails waits for those who hold.
  virtual bool shares_memory() const { return false; }
  virtual void hold() {}
  virtual void release() {}

  void exchange(const Exchange& what) {
    start(what);
    finish();
  }
};

}  // namespace foretoken::kernels
