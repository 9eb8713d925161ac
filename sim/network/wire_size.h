// Bytes of values in a wire format, as kernels/codec packs them.
#pragma once

#include <cstdint>

#include "sim/spec/format.h"

namespace foretoken {

// Values are padded to whole groups; a group takes group x bits / 8 bytes and its metadata, with
// nothing else in between. Formats without groups take bits / 8 bytes a value.
std::int64_t packed_bytes(std::int64_t values, const Format& format);

}  // namespace foretoken
