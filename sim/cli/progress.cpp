#include "sim/cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace foretoken::cli {

Progress::Progress(std::string what)
    : what_(std::move(what)),
      start_(std::chrono::steady_clock::now()),
      terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (shown_) {
    std::fputs("\r\033[K", stderr);
  }
}

void Progress::update(int done, int total) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  if (!terminal_ || total <= 0 || done <= 0 || (seconds < 2 && !shown_)) {
    return;
  }
  shown_ = true;
  constexpr int kWidth = 30;
  const int filled = kWidth * done / total;
  const std::string line =
      fmt::format("\r{} [{}{}] {}/{}, {:.1f}/s, {:.0f} s left\033[K", what_,
                  std::string(filled, '#'), std::string(kWidth - filled, '.'), done, total,
                  done / seconds, seconds / done * (total - done));
  std::fputs(line.c_str(), stderr);
}

void PhasedProgress::update(const std::string& what, int done, int total) {
  if (!progress_ || what != what_) {
    progress_.emplace(what);
    what_ = what;
  }
  progress_->update(done, total);
}

}  // namespace foretoken::cli
