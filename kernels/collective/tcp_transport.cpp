#include "kernels/collective/tcp_transport.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <thread>
#include <utility>

namespace foretoken::kernels {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::microseconds kAwake{100};  // of a wait, before the thread sleeps

[[noreturn]] void fail(const std::string& what) {
  throw TransportError(fmt::format("{}: {}", what, std::strerror(errno)));
}

class Socket {
 public:
  Socket() = default;
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { close(); }

  int get() const { return descriptor_; }
  bool open() const { return descriptor_ >= 0; }
  void close() {
    if (descriptor_ >= 0) {
      ::close(std::exchange(descriptor_, -1));
    }
  }

 private:
  int descriptor_ = -1;
};

int milliseconds_left(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

bool wait_for(int descriptor, short events, Clock::time_point deadline) {
  pollfd p{descriptor, events, 0};
  return ::poll(&p, 1, milliseconds_left(deadline)) > 0;
}

void prepare(int descriptor) {
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK);
}

// ---- meeting: a few small blocking messages under one deadline
// ------------------------------------

void send_all(int descriptor, const void* data, std::size_t size, Clock::time_point deadline) {
  const auto* bytes = static_cast<const char*>(data);
  while (size != 0) {
    const ssize_t sent = ::send(descriptor, bytes, size, MSG_NOSIGNAL);
    if (sent > 0) {
      bytes += sent;
      size -= static_cast<std::size_t>(sent);
    } else if (errno != EAGAIN || !wait_for(descriptor, POLLOUT, deadline)) {
      fail("TCP rendezvous: cannot send");
    }
  }
}

void receive_all(int descriptor, void* data, std::size_t size, Clock::time_point deadline) {
  auto* bytes = static_cast<char*>(data);
  while (size != 0) {
    const ssize_t got = ::recv(descriptor, bytes, size, 0);
    if (got > 0) {
      bytes += got;
      size -= static_cast<std::size_t>(got);
    } else if (got == 0) {
      throw TransportError("TCP rendezvous: a rank has left");
    } else if (errno != EAGAIN || !wait_for(descriptor, POLLIN, deadline)) {
      fail("TCP rendezvous: cannot receive");
    }
  }
}

Socket try_connect(const sockaddr_in& address) {
  Socket socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return {};
  }
  prepare(socket.get());
  return socket;
}

// The other side may not listen yet: tries until the deadline.
Socket connect_to(const sockaddr_in& address, Clock::time_point deadline) {
  while (true) {
    if (Socket socket = try_connect(address); socket.open()) {
      return socket;
    }
    if (Clock::now() > deadline) {
      fail("TCP rendezvous: cannot connect");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

Socket accept_from(const TcpListener& listener, Clock::time_point deadline) {
  if (!wait_for(listener.descriptor(), POLLIN, deadline)) {
    throw TransportError("TCP rendezvous: not all ranks have come within the time-out");
  }
  Socket socket(::accept4(listener.descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket.open()) {
    fail("TCP rendezvous: cannot accept");
  }
  prepare(socket.get());
  return socket;
}

sockaddr_in resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    throw TransportError(fmt::format("TCP rendezvous: unknown host \"{}\"", host));
  }
  sockaddr_in address{};
  std::memcpy(&address, found->ai_addr, sizeof(address));
  ::freeaddrinfo(found);
  return address;
}

struct Hello {
  std::int32_t rank;
  std::int32_t port;
};

// Where every rank listens: rank 0 hears of it and tells the others. Rank 0's connections to the
// others are used further, and take their place in `sockets`.
std::vector<sockaddr_in> meet_as_root(const TcpListener& listener, std::vector<Socket>& sockets,
                                      Clock::time_point deadline) {
  std::vector<sockaddr_in> table(sockets.size());
  for (std::size_t i = 1; i < sockets.size(); ++i) {
    Socket socket = accept_from(listener, deadline);
    Hello hello{};
    receive_all(socket.get(), &hello, sizeof(hello), deadline);
    const auto rank = static_cast<std::size_t>(hello.rank);
    if (rank == 0 || rank >= sockets.size() || sockets[rank].open()) {
      throw TransportError(fmt::format("TCP rendezvous: a second rank {} has come", hello.rank));
    }
    socklen_t size = sizeof(sockaddr_in);
    ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&table[rank]), &size);
    table[rank].sin_port = htons(static_cast<std::uint16_t>(hello.port));
    sockets[rank] = std::move(socket);
  }
  for (std::size_t i = 1; i < sockets.size(); ++i) {
    send_all(sockets[i].get(), table.data(), table.size() * sizeof(sockaddr_in), deadline);
  }
  return table;
}

std::vector<sockaddr_in> meet_root(const TcpOptions& options, const TcpListener& own,
                                   std::vector<Socket>& sockets, Clock::time_point deadline) {
  std::vector<sockaddr_in> table(sockets.size());
  sockets[0] = connect_to(resolve(options.root_host, options.root_port), deadline);
  const Hello hello{options.rank, own.port()};
  send_all(sockets[0].get(), &hello, sizeof(hello), deadline);
  receive_all(sockets[0].get(), table.data(), table.size() * sizeof(sockaddr_in), deadline);
  return table;
}

// Lower ranks accept, higher ranks connect.
void connect_rest(const TcpOptions& options, const TcpListener& own,
                  const std::vector<sockaddr_in>& table, std::vector<Socket>& sockets,
                  Clock::time_point deadline) {
  for (int peer = 1; peer < options.rank; ++peer) {
    Socket socket = connect_to(table[static_cast<std::size_t>(peer)], deadline);
    const Hello hello{options.rank, 0};
    send_all(socket.get(), &hello, sizeof(hello), deadline);
    sockets[static_cast<std::size_t>(peer)] = std::move(socket);
  }
  for (int peer = options.rank + 1; peer < options.ranks; ++peer) {
    Socket socket = accept_from(own, deadline);
    Hello hello{};
    receive_all(socket.get(), &hello, sizeof(hello), deadline);
    sockets.at(static_cast<std::size_t>(hello.rank)) = std::move(socket);
  }
}

// ---- the transport ------------------------------------------------------------------------------

class TcpTransport : public Transport {
 public:
  TcpTransport(const TcpOptions& options, std::vector<Socket> sockets)
      : options_(options), peers_(sockets.size()) {
    for (std::size_t i = 0; i < sockets.size(); ++i) {
      peers_[i].socket = std::move(sockets[i]);
    }
  }

  int rank() const override { return options_.rank; }
  int ranks() const override { return options_.ranks; }

  void start(const Exchange& exchange) override {
    if (broken_) {
      throw TransportError(fmt::format("rank {}: the group has failed before", options_.rank));
    }
    for (const Send& send : exchange.sends) {
      peers_[static_cast<std::size_t>(send.peer)].sends.push_back(send.bytes);
    }
    for (const Receive& receive : exchange.receives) {
      peers_[static_cast<std::size_t>(receive.peer)].receives.push_back(receive.bytes);
    }
    deadline_ = Clock::now() + options_.timeout;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
      push(i);
    }
  }

  void finish() override {
    std::vector<pollfd> polls;
    std::vector<std::size_t> owners;
    while (true) {
      polls.clear();
      owners.clear();
      for (std::size_t i = 0; i < peers_.size(); ++i) {
        const short events = static_cast<short>((peers_[i].sends.empty() ? 0 : POLLOUT) |
                                                (peers_[i].receives.empty() ? 0 : POLLIN));
        if (events != 0) {
          polls.push_back({peers_[i].socket.get(), events, 0});
          owners.push_back(i);
        }
      }
      if (polls.empty()) {
        return;
      }
      if (!wait(polls)) {
        break_up(fmt::format("rank {}: rank {} did not answer within {} ms", options_.rank,
                             owners.front(), options_.timeout.count()));
      }
      for (std::size_t i = 0; i < polls.size(); ++i) {
        if ((polls[i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
          pull(owners[i]);
        }
        if ((polls[i].revents & (POLLOUT | POLLHUP | POLLERR)) != 0) {
          push(owners[i]);
        }
      }
    }
  }

 private:
  struct Peer {
    Socket socket;
    std::deque<std::span<const std::uint8_t>> sends;
    std::deque<std::span<std::uint8_t>> receives;
  };

  // False: the deadline has passed. A processor that sleeps takes tens of microseconds to wake, a
  // virtual one more, and how many depends on how long it slept last: a wait begins awake.
  bool wait(std::vector<pollfd>& polls) const {
    const auto asleep = Clock::now() + kAwake;
    do {
      if (::poll(polls.data(), polls.size(), 0) > 0) {
        return true;
      }
      std::this_thread::yield();  // ranks may share a processor
    } while (Clock::now() < asleep);
    const int ready = ::poll(polls.data(), polls.size(), milliseconds_left(deadline_));
    return ready > 0 || (ready < 0 && errno == EINTR);
  }

  void push(std::size_t index) {
    Peer& peer = peers_[index];
    while (!peer.sends.empty()) {
      auto& bytes = peer.sends.front();
      const ssize_t sent = ::send(peer.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR) {
          return;
        }
        break_up(fmt::format("rank {}: rank {} has left ({})", options_.rank, index,
                             std::strerror(errno)));
      }
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
      if (!bytes.empty()) {
        return;  // the socket is full
      }
      peer.sends.pop_front();
    }
  }

  void pull(std::size_t index) {
    Peer& peer = peers_[index];
    while (!peer.receives.empty()) {
      auto& bytes = peer.receives.front();
      const ssize_t got = ::recv(peer.socket.get(), bytes.data(), bytes.size(), 0);
      if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
      }
      if (got <= 0) {
        break_up(fmt::format("rank {}: rank {} has left", options_.rank, index));
      }
      bytes = bytes.subspan(static_cast<std::size_t>(got));
      if (bytes.empty()) {
        peer.receives.pop_front();
      }
    }
  }

  // Closing every connection is how the other ranks learn of it.
  [[noreturn]] void break_up(const std::string& message) {
    broken_ = true;
    for (Peer& peer : peers_) {
      peer.socket.close();
      peer.sends.clear();
      peer.receives.clear();
    }
    throw TransportError(message);
  }

  TcpOptions options_;
  std::vector<Peer> peers_;
  Clock::time_point deadline_;
  bool broken_ = false;
};

const char* first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name)) {
      return value;
    }
  }
  return nullptr;
}

}  // namespace

TcpListener::TcpListener(int port) {
  descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  socklen_t size = sizeof(address);
  if (::bind(descriptor_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(descriptor_, 64) != 0 ||
      ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    errno = reason;
    fail(fmt::format("cannot listen on port {}", port));
  }
  port_ = ntohs(address.sin_port);
}

TcpListener::TcpListener(TcpListener&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), port_(other.port_) {}

TcpListener::~TcpListener() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

std::unique_ptr<Transport> connect_tcp(const TcpOptions& options, const TcpListener* listener) {
  const auto deadline = Clock::now() + options.timeout;
  std::vector<Socket> sockets(static_cast<std::size_t>(options.ranks));
  if (options.rank == 0) {
    if (listener != nullptr) {
      meet_as_root(*listener, sockets, deadline);
    } else {
      meet_as_root(TcpListener(options.root_port), sockets, deadline);
    }
  } else {
    const TcpListener own;
    const auto table = meet_root(options, own, sockets, deadline);
    connect_rest(options, own, table, sockets, deadline);
  }
  return std::make_unique<TcpTransport>(options, std::move(sockets));
}

bool tcp_options_from_launcher(TcpOptions& options) {
  const char* rank = first_of({"OMPI_COMM_WORLD_RANK", "PMI_RANK"});
  const char* ranks = first_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"});
  if (rank == nullptr || ranks == nullptr) {
    return false;
  }
  options.rank = std::atoi(rank);
  options.ranks = std::atoi(ranks);
  options.root_port = 47100;
  if (const char* root = std::getenv("FORETOKEN_ROOT")) {
    const std::string text(root);
    const auto colon = text.rfind(':');
    options.root_host = text.substr(0, colon);
    options.root_port =
        colon == std::string::npos ? options.root_port : std::atoi(text.c_str() + colon + 1);
  }
  return true;
}

}  // namespace foretoken::kernels
