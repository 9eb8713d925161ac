// Boxes of two sockets: what all-reduces send over the link between them, and what that costs eight
// L40 over PCIe.
#pragma once

#include <string>
#include <vector>

namespace foretoken::calibrate {

// Eight GPUs, four on each socket; vectors sent over the socket link in one direction.
struct SocketBytes {
  std::string algorithm;
  double simulated = 0;  // in vectors
  double derived = 0;
};
std::vector<SocketBytes> socket_bytes();

// Time of an all-reduce of 128 MiB on eight L40, as FlashCommunication V2 (arXiv 2508.03760)
// compares: int4/g32.
struct SocketGain {
  double socket_link = 0;  // bytes/s
  double ring = 0;         // s, bf16
  double two_step = 0;     // s, bf16
  double flat = 0;         // s, int4 two-step
  double deep = 0;         // s, int4 hierarchical
  double flat_gain() const { return ring / flat; }
  double deep_gain() const { return ring / deep; }
};
// The shipped profile of the L40, for socket links of 20, 40 and 80 GB/s.
std::vector<SocketGain> socket_gains();

// bf16 over int4 two-step where the GPU's link binds and neither latency nor codec cost anything:
// 2 / w, and what is simulated.
struct ByteRatio {
  double simulated = 0;
  double derived = 0;
};
ByteRatio byte_ratio();

std::string to_markdown(const std::vector<SocketBytes>& bytes, const std::vector<SocketGain>& gains,
                        const ByteRatio& ratio);

}  // namespace foretoken::calibrate
