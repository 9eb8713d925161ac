#include "sim/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace foretoken::cli {
namespace {

constexpr auto kQuiet = std::chrono::seconds(2);  // before the first line
constexpr auto kBetweenLines = std::chrono::milliseconds(100);

std::string rate_text(double per_second) {
  return per_second >= 10  ? fmt::format("{:.0f}/s", per_second)
         : per_second >= 1 ? fmt::format("{:.1f}/s", per_second)
                           : fmt::format("{:.1f}/min", 60 * per_second);
}

std::string left_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::ceil(seconds));
  return whole < 120 ? fmt::format("{} s left", whole)
                     : fmt::format("{} min left", (whole + 59) / 60);
}

}  // namespace

std::string progress_line(const std::string& what, std::int64_t done, std::int64_t total,
                          double seconds) {
  constexpr std::int64_t kWidth = 30;
  const auto filled =
      static_cast<std::size_t>(std::clamp(kWidth * done / total, std::int64_t{0}, kWidth));
  const double rate = static_cast<double>(done) / std::max(seconds, 1e-9);
  return fmt::format("{} [{}{}] {}/{}, {}, {}", what, std::string(filled, '#'),
                     std::string(kWidth - filled, '.'), done, total, rate_text(rate),
                     left_text(static_cast<double>(total - done) / rate));
}

Progress::Progress(std::string what)
    : what_(std::move(what)),
      start_(std::chrono::steady_clock::now()),
      last_(start_),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) {
    std::fputs("\r\033[K", stderr);
  }
}

void Progress::update(std::int64_t done, std::int64_t total) {
  if (!terminal_ || total <= 0 || done <= 0) {
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (now - start_ < kQuiet || (shown_ && now - last_ < kBetweenLines)) {
    return;
  }
  shown_ = true;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  std::fputs(("\r" + progress_line(what_, done, total, seconds) + "\033[K").c_str(), stderr);
}

void PhasedProgress::update(const std::string& what, int done, int total) {
  if (!progress_ || what != what_) {
    progress_.emplace(what);
    what_ = what;
  }
  progress_->update(done, total);
}

}  // namespace foretoken::cli
