#include "kernels/base/report_header.h"

#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <fstream>
#include <thread>

namespace foretoken::kernels {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(": ") + 2);
    }
  }
  return "unknown processor";
}

std::string first_line_of(const char* command) {
  std::string line;
  if (FILE* pipe = ::popen(command, "r")) {
    char text[128];
    if (std::fgets(text, sizeof(text), pipe) != nullptr) {
      line = text;
      line.erase(line.find_last_not_of('\n') + 1);
    }
    ::pclose(pipe);
  }
  return line;
}

}  // namespace

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[16];
  std::strftime(text, sizeof(text), "%Y-%m-%d", &utc);
  return text;
}

std::string commit() {
  const std::string line = first_line_of("git describe --always --dirty --exclude '*' 2>/dev/null");
  return line.empty() ? "unknown" : line;
}

std::string cpu_report_line() {
  const long cache = ::sysconf(_SC_LEVEL2_CACHE_SIZE);
  return processor_name() + ", " + std::to_string(std::thread::hardware_concurrency()) +
         " processors, second-level cache " + std::to_string(cache / 1024) + " KiB, " + today() +
         ", commit " + commit();
}

}  // namespace foretoken::kernels
