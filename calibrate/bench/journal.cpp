#include "calibrate/bench/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <sstream>

#include "sim/core/error.h"

namespace foretoken::calibrate {
namespace {

constexpr std::string_view kTitle = "foretoken calibration journal, schema 2";
constexpr std::string_view kColumns = "family,shape,pass,seconds,least,p90,samples,sentinel,cores";
constexpr double kFlushSeconds = 1;

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, "x"));
}

template <typename Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  return code == std::errc() && end == text.data() + text.size();
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + 1);
  }
}

bool positive(double value) { return std::isfinite(value) && value > 0; }

bool parse_result(std::string_view line, PassResult& result) {
  const auto fields = split(line, ',');
  if (fields.size() != 9 || fields[0].empty()) {
    return false;
  }
  result.family = fields[0];
  for (const std::string_view part : split(fields[1], 'x')) {
    if (!parse(part, result.shape.emplace_back()) || result.shape.back() < 0) {
      return false;
    }
  }
  return parse(fields[2], result.pass) && parse(fields[3], result.seconds) &&
         parse(fields[4], result.least) && parse(fields[5], result.p90) &&
         parse(fields[6], result.samples) && parse(fields[7], result.sentinel) &&
         parse(fields[8], result.cores) && result.cores > 0 && result.pass >= 0 &&
         result.samples > 0 && positive(result.seconds) && positive(result.least) &&
         positive(result.p90) && positive(result.sentinel);
}

[[noreturn]] void refuse(const std::string& path, int line, const std::string& message) {
  throw InputError(SourceMark{path, line, 0}, "", message);
}

}  // namespace

std::string case_name(const std::string& family, const std::vector<std::int64_t>& shape) {
  return family + "/" + shape_text(shape);
}

Journal::Journal(const std::string& path, const std::string& fingerprint) : path_(path) {
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    refuse(path, 0,
           fmt::format("cannot write the journal: {}; choose another place with --out",
                       std::strerror(errno)));
  }
  try {
    if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      refuse(path, 0, "another calibration is writing here; wait for it, or choose another --out");
    }
    read(fingerprint);
  } catch (...) {
    close(descriptor_);
    throw;
  }
}

Journal::~Journal() { close(descriptor_); }

void Journal::read(const std::string& fingerprint) {
  std::string text;
  char buffer[65536];
  for (ssize_t got = 0; (got = ::read(descriptor_, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  const std::size_t whole = text.rfind('\n') + 1;  // 0 where there is no line
  const std::string header = fmt::format("{}\n{}\n{}\n", kTitle, fingerprint, kColumns);
  if (whole < text.size() && ftruncate(descriptor_, static_cast<off_t>(whole)) != 0) {
    refuse(path_, 0, "cannot cut off an unfinished line; remove this file");
  }
  text.resize(whole);
  if (text.empty()) {
    write(header);
    return;
  }
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (number == 1 && line != kTitle) {
      refuse(path_, number,
             fmt::format("not a journal (it begins \"{}\"); remove this file, or "
                         "choose another --out",
                         kTitle));
    }
    if (number == 2 && line != fingerprint) {
      refuse(path_, number,
             fmt::format("measured by \"{}\", and this is \"{}\"; go on there, or begin anew with "
                         "--restart",
                         line, fingerprint));
    }
    if (number == 3 && line != kColumns) {
      refuse(path_, number,
             fmt::format("the columns are \"{}\"; begin anew with --restart", kColumns));
    }
    if (number > 3) {
      PassResult result;
      if (!parse_result(line, result)) {
        refuse(path_, number,
               fmt::format("\"{}\" is no measurement; remove the line, or begin "
                           "anew with --restart",
                           line));
      }
      results_.push_back(std::move(result));
    }
  }
  if (number < 3) {  // killed while it wrote the header
    if (ftruncate(descriptor_, 0) != 0) {
      refuse(path_, 0, "cannot begin anew; remove this file");
    }
    write(header);
  }
}

void Journal::write(const std::string& text) {
  const off_t before = lseek(descriptor_, 0, SEEK_END);
  const ssize_t written = ::write(descriptor_, text.data(), text.size());
  if (written == static_cast<ssize_t>(text.size())) {
    return;
  }
  const std::string why = written < 0 ? std::strerror(errno) : "no space left";
  const bool cut = ftruncate(descriptor_, before) == 0;
  refuse(path_, 0,
         fmt::format("cannot write: {}; the {} measurements so far are kept{}: make room and run "
                     "the same command again",
                     why, results_.size(), cut ? "" : " but for the last line"));
}

void Journal::append(const PassResult& result) {
  write(fmt::format("{},{},{},{},{},{},{},{},{}\n", result.family, shape_text(result.shape),
                    result.pass, result.seconds, result.least, result.p90, result.samples,
                    result.sentinel, result.cores));
  results_.push_back(result);
  if (now_seconds() - last_flush_ > kFlushSeconds) {
    flush();
  }
}

void Journal::flush() {
  fdatasync(descriptor_);
  last_flush_ = now_seconds();
}

void Journal::remove() { unlink(path_.c_str()); }

}  // namespace foretoken::calibrate
