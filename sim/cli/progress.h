// A progress line on stderr for what takes longer than two seconds; silent when stderr is no
// terminal.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace foretoken::cli {

class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(int done, int total);

 private:
  std::string what_;
  std::chrono::steady_clock::time_point start_;
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
