// The text that NVIDIA's nccl-tests programs print.
#pragma once

#include <map>
#include <string>

#include "sim/spec/profile.h"

namespace foretoken::importer {

// Samples by profile name: `operation` ("all_reduce", "all_gather", ...) and the type's format,
// shape ranks and bytes of the full vector, out-of-place times. nccl-tests does not print which
// program ran, so the caller says; the printed bus bandwidth is checked against it.
//
// Throws InputError with file and line: no table, a time that is not in microseconds, sizes that
// are not what count and type make, bandwidths that do not follow from size, time and operation, or
// a row that reports wrong values.
std::map<std::string, SampleTable> read_nccl_tests(const std::string& path,
                                                   const std::string& operation);

}  // namespace foretoken::importer
