// A progress line on stderr for what takes longer than two seconds; silent when stderr is no
// terminal.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace foretoken::cli {

// "runs [######........] 120/476, 85.2/s, 5 s left"
std::string progress_line(const std::string& what, std::int64_t done, std::int64_t total,
                          double seconds);

class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap enough to be called a million times a second.
  void update(std::int64_t done, std::int64_t total);

 private:
  std::string what_;
  std::chrono::steady_clock::time_point start_, last_;
  bool terminal_;
  bool shown_ = false;
};

// Several phases one after the other, each with a line of its own.
class PhasedProgress {
 public:
  void update(const std::string& what, int done, int total);

 private:
  std::string what_;
  std::optional<Progress> progress_;
};

}  // namespace foretoken::cli
