// This machine's sockets, memory and PCIe devices, as hwloc (open-mpi.org/projects/hwloc) sees
// them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace foretoken::calibrate {

struct PciDevice {
  enum class Kind : std::uint8_t { pcie_switch, gpu, nic } kind = Kind::gpu;
  std::string bus_id;  // 0000:17:00.0, lower case; empty: a switch
  std::string name;    // eth0, mlx5_0; may be empty
  double link = 0;     // bytes/s one way of its link upwards, as running now; 0: unknown
  int socket = 0;
  int parent = -1;  // index of the switch it hangs below; -1: the socket
};

struct MachineTree {
  struct Socket {
    std::string name;  // as the CPU calls itself; may be empty
    int cores = 0;
    std::vector<std::uint64_t> memory;  // bytes of each of its NUMA nodes
  };
  std::vector<Socket> sockets;     // at least one
  std::vector<PciDevice> devices;  // a switch before what hangs below it
  int count(PciDevice::Kind kind) const;
};

// `xml`: a file that `lstopo FILE.xml` wrote on another machine; empty: this machine. Bridges to a
// single device are passed over: what stays is a switch. Throws InputError when the file cannot be
// read.
MachineTree read_machine(const std::string& xml = "");

// A few lines of text.
std::string describe(const MachineTree& machine);

}  // namespace foretoken::calibrate
