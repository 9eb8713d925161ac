// Ranks that are processes, on one machine or several, each connected to each over TCP.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "kernels/collective/transport.h"

namespace foretoken::kernels {

// A socket that listens on every address of this machine. Movable, closes itself.
class TcpListener {
 public:
  explicit TcpListener(int port = 0);  // 0: any free port
  TcpListener(TcpListener&& other) noexcept;
  TcpListener& operator=(TcpListener&&) = delete;
  TcpListener(const TcpListener&) = delete;
  TcpListener& operator=(const TcpListener&) = delete;
  ~TcpListener();

  int port() const { return port_; }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
  int port_ = 0;
};

struct TcpOptions {
  int rank = 0;
  int ranks = 1;
  std::string root_host = "127.0.0.1";  // where rank 0 listens
  int root_port = 0;
  std::chrono::milliseconds timeout{10000};  // for connecting, and for every exchange
};

// Rank 0 listens (on `listener` where given, else on root_port), the others report to it with the
// port that they listen on, and everybody connects to everybody. Throws TransportError.
std::unique_ptr<Transport> connect_tcp(const TcpOptions& options,
                                       const TcpListener* listener = nullptr);

// Rank and number of ranks as OpenMPI's mpirun (OMPI_COMM_WORLD_RANK, _SIZE) or a PMI launcher
// (PMI_RANK, PMI_SIZE) gives them in the environment, and the root from FORETOKEN_ROOT
// ("host:port"). False when no launcher is there.
bool tcp_options_from_launcher(TcpOptions& options);

}  // namespace foretoken::kernels
