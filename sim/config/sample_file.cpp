#include "sim/config/sample_file.h"

#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <iterator>

#include "sim/config/text_lines.h"
#include "sim/core/error.h"

namespace foretoken::config {
namespace {

std::string header_of(const SampleFamily& family) {
  return fmt::format("format,{},seconds", fmt::join(family.shape, ","));
}

// Reads fields of one line from left to right.
class Row {
 public:
  Row(std::string_view line, const std::string& file, int number)
      : rest_(line), file_(file), number_(number) {}

  std::string_view text() {
    if (done_) {
      refuse("too few columns");
    }
    const auto comma = rest_.find(',');
    const std::string_view field = rest_.substr(0, comma);
    done_ = comma == std::string_view::npos;
    rest_.remove_prefix(done_ ? rest_.size() : comma + 1);
    return field;
  }

  std::int64_t count(std::string_view column, std::int64_t least) {
    const std::string_view field = text();
    std::int64_t value = 0;
    const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (code != std::errc() || end != field.data() + field.size() || value < least) {
      refuse(fmt::format("{}: \"{}\" is not a {}whole number", column, field,
                         least > 0 ? "positive " : ""));
    }
    return value;
  }

  double seconds() {
    const std::string_view field = text();
    double value = 0;
    const auto [end, code] = std::from_chars(field.data(), field.data() + field.size(), value);
    if (code != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
      refuse(
          fmt::format("seconds: \"{}\" is not a finite number of seconds (no unit here)", field));
    }
    if (value <= 0) {
      refuse(fmt::format("seconds: {} is not positive", field));
    }
    return value;
  }

  void finish() const {
    if (!done_) {
      refuse("too many columns");
    }
  }

  [[noreturn]] void refuse(const std::string& message) const {
    throw InputError(SourceMark{file_, number_, 0}, "",
                     message + "; measure this row again or remove it");
  }

 private:
  std::string_view rest_;
  const std::string& file_;
  int number_;
  bool done_ = false;
};

// The next line; the last one must be ended, else the file was cut.
bool next_line(TextLines& lines, std::string_view& line, const std::string& file) {
  const bool found = lines.next(line);
  if (!lines.ended()) {
    throw InputError(SourceMark{file, lines.number(), 0}, "",
                     "the last line is not ended: the file was cut; copy or measure it again");
  }
  return found;
}

}  // namespace

std::span<const SampleFamily> sample_families() {
  static const std::vector<SampleFamily> families{
      {"gemm", {"m", "n", "k"}},
      {"all_reduce", {"ranks", "bytes"}},
      {"all_gather", {"ranks", "bytes"}},
      {"reduce_scatter", {"ranks", "bytes"}},
      {"all_to_all", {"ranks", "bytes"}},
      {"send_recv", {"ranks", "bytes"}},
      {"engine_all_reduce", {"ranks", "bytes"}},
      {"quantise", {"m", "k"}},
      {"elementwise", {"bytes"}},
      {"codec.quantise", {"values"}},
      {"codec.reduce", {"values"}},
      {"codec.dequantise", {"values"}},
      {"tcp_all_reduce", {"ranks", "bytes"}},
      {"pinned_all_reduce", {"ranks", "bytes"}},
      {"virtual_ranks", {"ranks", "bytes"}},
      {"launch", {"count"}},
      {"host", {"sequences"}},
      {"memory", {"bytes", "cores"}},
      {"attention.prefill", {"heads", "kv_heads", "head_dim", "window", "batch", "prompt"}, 0},
      {"attention.decode", {"heads", "kv_heads", "head_dim", "window", "batch", "cached"}, 0},
      {"attention.mixed",
       {"heads", "kv_heads", "head_dim", "window", "chunk", "context", "batch", "cached"},
       0},
      {"latent_attention.prefill", {"heads", "batch", "prompt"}},
      {"latent_attention.decode", {"heads", "batch", "cached"}},
      {"moe",
       {"hidden", "inter", "experts", "chosen", "tensor", "expert", "skew_percent", "tokens"},
       0},
  };
  return families;
}

const SampleFamily* find_sample_family(std::string_view name) {
  for (const SampleFamily& family : sample_families()) {
    if (family.name == name) {
      return &family;
    }
  }
  return nullptr;
}

const SampleFamily* family_of_key(std::string_view key) {
  for (const SampleFamily& family : sample_families()) {
    if (key.starts_with(family.name) &&
        (key.size() == family.name.size() || key[family.name.size()] == '.')) {
      return &family;
    }
  }
  return nullptr;
}

SamplesByFormat parse_samples(std::string_view text, const SampleFamily& family,
                              const std::string& file) {
  TextLines lines(text);
  std::string_view line;
  const std::string header = header_of(family);
  if (!next_line(lines, line, file) || line != header) {
    throw InputError(
        SourceMark{file, std::max(lines.number(), 1), 0}, "",
        fmt::format("the header of {0} samples is \"{1}\"; name the columns so, in these units",
                    family.name, header));
  }
  SamplesByFormat samples;
  std::string_view format;
  std::vector<Sample>* table = nullptr;  // rows of one format usually stand together
  while (next_line(lines, line, file)) {
    Row row(line, file, lines.number());
    const std::string_view name = row.text();
    if (table == nullptr || name != format) {
      if (name.empty()) {
        row.refuse("the format is empty; try bf16");
      }
      format = name;
      table = &samples[std::string(name)];
    }
    Sample sample;
    sample.shape.reserve(family.shape.size());
    for (const std::string_view column : family.shape) {
      sample.shape.push_back(row.count(column, family.least));
    }
    sample.seconds = row.seconds();
    row.finish();
    table->push_back(std::move(sample));
  }
  return samples;
}

std::string write_samples(const std::map<std::string, const SampleTable*>& by_format,
                          const SampleFamily& family) {
  std::string text = header_of(family) + "\n";
  for (const auto& [format, table] : by_format) {
    for (const Sample& sample : table->samples) {
      FT_CHECK(sample.shape.size() == family.shape.size(), "{} samples in {}", family.name, format);
      fmt::format_to(std::back_inserter(text), "{},{},{}\n", format, fmt::join(sample.shape, ","),
                     sample.seconds);
    }
  }
  return text;
}

}  // namespace foretoken::config
