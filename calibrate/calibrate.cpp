#include "calibrate/calibrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string_view>
#include <system_error>

#include "calibrate/bench/machine.h"
#include "calibrate/bench/timing.h"
#include "calibrate/cpu_suite.h"
#include "calibrate/fit/cpu_profile.h"
#include "sim/config/cluster_reader.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"
#include "sim/topology/topology.h"

namespace foretoken::calibrate {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void cannot_write(const fs::path& path, const std::string& why) {
  throw InputError(
      SourceMark{path.string(), 0, 0}, "",
      fmt::format("cannot write the profile: {}; choose another place with --out", why));
}

// A folder of our own beside the target, gone when this object is.
class StagingFolder {
 public:
  explicit StagingFolder(const fs::path& target) {
    const fs::path parent = target.has_parent_path() ? target.parent_path() : fs::path(".");
    path_ = parent / fmt::format(".{}.{}", target.stem().string(), getpid());
    std::error_code error;
    fs::create_directory(path_, error);
    if (error) {
      cannot_write(target, error.message());
    }
  }
  ~StagingFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  StagingFolder(const StagingFolder&) = delete;
  StagingFolder& operator=(const StagingFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void check_name(const fs::path& path) {
  if (path.extension() != ".yaml" || path.stem().empty()) {
    throw InputError(fmt::format("--out {}: a profile is named NAME.yaml", path.string()));
  }
}

// One line on stderr: what is measured, how far, how long it will take.
class ProgressLine {
 public:
  ProgressLine(std::ostream& stream, bool show) : stream_(stream), show_(show) {}
  ~ProgressLine() {
    if (show_) {
      stream_ << "\r\033[K" << std::flush;
    }
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void update(const std::string& family, double share) {
    if (show_) {
      const double elapsed = now_seconds() - start_;
      stream_ << fmt::format("\rcalibrating {:<12} {:>3.0f} %", family, 100 * share);
      if (share > 0.2) {
        stream_ << fmt::format("  {:.0f} s left", elapsed / share * (1 - share));
      }
      stream_ << "\033[K" << std::flush;
    }
  }

 private:
  std::ostream& stream_;
  bool show_;
  double start_ = now_seconds();
};

}  // namespace

PairLink pair_link(const std::string& topology) {
  const fs::path path = config::find_file(topology, fs::current_path(), "topologies");
  if (path.empty()) {
    throw InputError(fmt::format("--topology {}: no such file, nor a shipped topology", topology));
  }
  const Topology built(config::read_cluster(path.string()));
  if (built.gpu_count() < 2) {
    throw InputError(fmt::format("--topology {}: two devices are needed", topology));
  }
  PairLink link;
  const Route route = built.route(0, 1);
  link.link_class = built.route_class(0, 1);
  link.latency = to_seconds(route.latency);
  link.bandwidth = std::numeric_limits<double>::infinity();
  for (const LinkId id : route.links) {
    link.bandwidth = std::min(link.bandwidth, built.link(id).bandwidth.bytes_per_second);
  }
  return link;
}

void save_profile_atomically(const Profile& profile, const std::string& path) {
  const fs::path target(path);
  check_name(target);
  const StagingFolder staging(target);
  try {
    config::save_profile(profile, (staging.path() / target.filename()).string());
  } catch (const InputError&) {
    cannot_write(target, "no space, or not allowed");
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(staging.path())) {
    files.push_back(entry.path().filename());
  }
  // Samples before the YAML that counts their rows.
  std::sort(files.begin(), files.end(), [&](const fs::path& a, const fs::path& b) {
    return std::pair(a == target.filename(), a) < std::pair(b == target.filename(), b);
  });
  for (const fs::path& file : files) {
    std::error_code error;
    fs::rename(staging.path() / file, target.parent_path() / file, error);
    if (error) {
      cannot_write(target, error.message());
    }
  }
}

int run_calibrate(const CalibrateOptions& options, std::ostream& out, std::ostream& progress) {
  if (options.backend != "cpu") {
    throw InputError(
        fmt::format("--backend {}: only cpu is built; use --backend cpu", options.backend));
  }
  const fs::path target(options.out);
  check_name(target);
  { const StagingFolder probe(target); }  // a read-only folder is found out now, not in a minute
  const PairLink link = pair_link(options.topology);
  const Machine machine = this_machine();
  const double start = now_seconds();
  CpuMeasurements measured;
  {
    ProgressLine line(progress, options.show_progress);
    measured = measure_cpu(machine, {options.quick}, [&](const std::string& family, double share) {
      line.update(family, share);
    });
  }
  CpuProfile result = make_cpu_profile(measured, link);
  result.profile.name = target.stem().string();
  save_profile_atomically(result.profile, options.out);
  out << fmt::format("{}\n\n{}\n", machine.fingerprint(), describe(result.families));
  if (measured.noisy_samples + measured.dropped_samples > 0) {
    out << fmt::format(
        "Something else slowed the core down during {} of {} samples: {} left out, {} "
        "kept for want of better.\n",
        measured.noisy_samples + measured.dropped_samples, measured.total_samples,
        measured.dropped_samples, measured.noisy_samples);
  }
  if (measured.skipped_samples > 0) {
    out << fmt::format(
        "{} samples were not measured: time was up. Without --quick there is more.\n",
        measured.skipped_samples);
  }
  if (machine.cores.size() < 2) {
    out << "One core only: all-reduce and host times are not measured.\n";
  }
  out << fmt::format("wrote {} in {:.0f} s\n", options.out, now_seconds() - start);
  return 0;
}

}  // namespace foretoken::calibrate
