#include <fmt/format.h>

#include "kernels/base/tensor_file.h"
#include "kernels/codec/bench/tables.h"
#include "kernels/codec/numeric_error.h"

namespace foretoken::kernels {
namespace {

void print_errors(const std::string& what, const std::vector<float>& values) {
  fmt::print("{}: {} values\n{:24} {:>10} {:>12} {:>9} {:>12}\n", what, values.size(), "format",
             "B/value", "relative", "SNR dB", "max error");
  for (const WireFormat& format : all_wire_formats()) {
    const NumericError e = codec_error(best_codec(), format, values);
    fmt::print("{:24} {:10.4f} {:12.3e} {:9.2f} {:12.4g}\n", to_string(format),
               static_cast<double>(packed_bytes(format, values.size())) /
                   static_cast<double>(values.size()),
               e.relative, e.snr_db, e.maximum);
  }
}

}  // namespace

void print_error_tables(const std::string& file, const std::string& name) {
  if (!file.empty()) {
    print_errors(file, read_tensor(file, name).values);
    return;
  }
  for (const SampleKind kind : kSampleKinds) {
    print_errors(std::string(to_string(kind)), sample_values(kind, std::size_t{1} << 20, 1));
  }
}

}  // namespace foretoken::kernels
