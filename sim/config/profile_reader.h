// Profiles as files: YAML for header and parameters, CSV beside it for samples.
//
//   schema: 1
//   name: h100-sxm
//   device: H100-SXM5-80GB
//   date: 2026-11-21
//   base: assumed-defaults            # a profile in the same folder, under this one
//   provenance: derived               # of every number that does not state its own
//   source: ai-dynamo/aiconfigurator, system file of this GPU
//   parameters:                       # nested maps are the dotted keys of sim/spec/profile.h
//     device: {memory: 80GB, memory_bandwidth: 3350GB/s}
//     gemm:
//       bf16: {peak: 989.4TFLOPS, efficiency: {value: 0.78, provenance: assumed, source: guess}}
//   samples:
//     gemm.bf16: h100-sxm.gemm.csv    # the rows of this format
//     all_reduce: {file: h100-sxm.all_reduce.csv, rows: 120, provenance: imported, source: ...}
//
// A sample key without a format takes all formats of the file. `rows`, where stated, must be what
// is read: a file cut at the end of a line is then noticed.
#pragma once

#include <string>

#include "sim/spec/profile.h"

namespace foretoken::config {

// The profile on top of its bases. Throws InputError with file, line and remedy. Writes nothing.
Profile read_profile(const std::string& path);

// The YAML text; its samples stand in `stem`.FAMILY.csv. What a base contributed is written out.
// read_profile brings back the same numbers, bit for bit.
std::string write_profile(const Profile& profile, const std::string& stem);
inline std::string write_profile(const Profile& profile) {
  return write_profile(profile, profile.name);
}
// Writes the YAML to `path` (FOLDER/STEM.yaml) and the samples beside it. Throws InputError when a
// file cannot be written.
void save_profile(const Profile& profile, const std::string& path);

}  // namespace foretoken::config
