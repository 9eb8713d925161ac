// What quantising for the wire costs on one device: t0 + uncompressed bytes / bandwidth.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sim/spec/format.h"
#include "sim/spec/profile.h"

namespace foretoken {

class CodecCost {
 public:
  // From `codec.FORMAT.t0` and `codec.FORMAT.bandwidth`, where FORMAT is the whole wire format
  // ("int5/g128/spike") or its head ("int5"). A format that the profile does not know is taken to
  // run like an elementwise kernel that reads 2 bytes and writes w bytes a value, and is `assumed`.
  explicit CodecCost(const Profile& profile);

  // Quantise or dequantise so many values (bf16 in memory).
  double seconds(std::int64_t values, const Format& wire) const;
  Provenance provenance(const Format& wire) const;

 private:
  struct Line {
    double t0 = 0;
    double bandwidth = 0;  // bytes/s, uncompressed
    Provenance provenance = Provenance::assumed;
  };
  Line line(const Format& wire) const;

  std::map<std::string, Line, std::less<>> known_;
  double t0_ = 0;
  double memory_bandwidth_ = 0;  // bytes/s reached
};

}  // namespace foretoken
