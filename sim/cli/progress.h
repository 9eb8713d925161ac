// A progress line on stderr for what takes longer than two seconds; silent when stderr is no
// terminal.
#pragma once

#include <chrono>
#include <cstdint>
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

}  // namespace foretoken::cli
