#include "calibrate/calibrate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "calibrate/backend.h"
#include "calibrate/bench/journal.h"
#include "calibrate/bench/machine.h"
#include "calibrate/bench/runner.h"
#include "calibrate/bench/timing.h"
#include "calibrate/self_test.h"
#include "sim/config/cluster_reader.h"
#include "sim/config/output.h"
#include "sim/config/paths.h"
#include "sim/config/profile_reader.h"
#include "sim/core/error.h"

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
  void update(const std::string& family, double share, double left) {
    if (show_ && now_seconds() - last_ > 0.2) {
      last_ = now_seconds();
      stream_ << fmt::format("\rcalibrating {:<30} {:>3.0f} %  {:.0f} s left\033[K", family,
                             100 * share, left)
              << std::flush;
    }
  }

 private:
  std::ostream& stream_;
  bool show_;
  double last_ = 0;
};

}  // namespace

Topology pair_topology(const std::string& name) {
  const fs::path path = config::find_file(name, fs::current_path(), "topologies");
  if (path.empty()) {
    throw InputError(fmt::format("--topology {}: no such file, nor a shipped topology", name));
  }
  Topology built(config::read_cluster(path.string()));
  if (built.gpu_count() < 2) {
    throw InputError(fmt::format("--topology {}: two devices are needed", name));
  }
  return built;
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

namespace {

fs::path journal_path(const fs::path& target) {
  return target.parent_path() / (target.stem().string() + ".journal");
}

// How far a sample can be trusted: 2 where its quiet passes settled it, 1 with a quiet pass.
int trust(const CaseResult& one) { return one.settled ? 2 : one.quiet_passes > 0 ? 1 : 0; }

// What a run says of its samples besides the table.
std::string quality(const RunResult& run, int dropped) {
  std::array<std::ptrdiff_t, 3> count{};
  for (const CaseResult& one : run.cases) {
    ++count.at(static_cast<std::size_t>(trust(one)));
  }
  std::string text;
  if (count[0] + count[1] > 0) {
    text += fmt::format(
        "Of {} samples {} are settled by quiet passes, {} have one that others do not confirm, "
        "and {} were always disturbed by something else on this machine: {} are left out.\n",
        run.cases.size(), count[2], count[1], count[0], dropped);
  }
  if (run.missing > 0) {
    text += fmt::format("{} samples were not measured: time was up (--budget).\n", run.missing);
  }
  return text + fmt::format("Quiet passes of one sample differ by {:.1f} % (sd).\n",
                            100 * run.repeatability);
}

// Where half of a table's samples have a quiet pass the others are left out: else that is what this
// machine is like today, and they stay.
int add_samples(const RunResult& run, std::map<std::string, std::vector<Sample>>& tables) {
  std::map<std::string, std::pair<int, int>> count;  // quiet ones, and all
  for (const CaseResult& one : run.cases) {
    auto& [quiet, all] = count[one.family];
    quiet += one.quiet_passes > 0 ? 1 : 0;
    ++all;
  }
  int dropped = 0;
  for (const CaseResult& one : run.cases) {
    const auto& [quiet, all] = count[one.family];
    if (one.quiet_passes == 0 && 2 * quiet >= all) {
      ++dropped;
    } else {
      tables[one.family].push_back({one.shape, one.seconds});
    }
  }
  return dropped;
}

// With --only, what another run on this device wrote there stays where nothing new is known.
Profile stacked(const Profile& fresh, const fs::path& target, bool partial) {
  if (!partial || !fs::exists(target)) {
    return fresh;
  }
  Profile whole = config::read_profile(target.string());
  if (whole.device != fresh.device) {
    throw InputError(SourceMark{target.string(), 0, 0}, "device",
                     fmt::format("this profile is of \"{}\", and this machine is \"{}\"; choose "
                                 "another --out",
                                 whole.device, fresh.device));
  }
  whole.override_with(fresh);
  whole.name = fresh.name;
  return whole;
}

}  // namespace

int run_calibrate(const CalibrateOptions& options, std::ostream& out, std::ostream& progress) {
  const Backend& backend = find_backend(options.backend);
  const fs::path target(options.out);
  check_name(target);
  { const StagingFolder probe(target); }  // a read-only folder is found out now, not in a minute
  std::vector<Topology> topologies;
  std::vector<PairLink> links;
  if (backend.pairs) {
    topologies.push_back(pair_topology(options.topology));
    topologies.push_back(pair_topology("cpu-2core-tcp"));
    links = {{"all_reduce", "two threads, shared memory", &topologies[0]},
             {"tcp_all_reduce", "two threads over TCP on the loopback", &topologies[1]}};
  }
  const double start = now_seconds();
  const std::unique_ptr<Bench> bench = backend.open(options.suite);
  if (options.restart) {
    fs::remove(journal_path(target));
  }
  Journal journal(journal_path(target).string(), bench->facts().fingerprint);
  if (!journal.results().empty()) {
    out << fmt::format("goes on after {} measurements in {}\n", journal.results().size(),
                       journal.path());
  }
  RunResult run;
  {
    ProgressLine line(progress, options.show_progress);
    RunnerOptions how;
    how.budget = options.budget > 0 ? options.budget : options.suite.quick ? 50 : 420;
    how.seconds_per_pass = options.suite.quick ? 0.006 : 0.01;
    how.stop = options.stop;
    run = run_cases(
        bench->cases(), how, [&](int cores) { return bench->sentinel(cores); }, journal,
        [&](const std::string& family, double share, double left) {
          line.update(family, share, left);
        });
  }
  if (run.stopped) {
    out << fmt::format(
        "interrupted: {} measurements of {} samples are kept in {}; the same command "
        "goes on\n",
        journal.results().size(), run.cases.size(), journal.path());
    return kInterrupted;
  }
  DeviceMeasurements measured = bench->facts();
  measured.repeatability = std::max(run.repeatability, 0.005);
  const int dropped = add_samples(run, measured.samples);
  DeviceProfile result = make_device_profile(measured, links);
  result.profile.name = target.stem().string();
  save_profile_atomically(stacked(result.profile, target, !options.suite.only.empty()),
                          options.out);
  if (!options.page.empty()) {
    config::write_output(options.page, self_test_page(result.profile, result.families));
  }
  if (!options.benchmark_json.empty()) {
    config::write_output(options.benchmark_json,
                         benchmark_json(run, {{"host_name", measured.device},
                                              {"fingerprint", measured.fingerprint}}));
  }
  journal.remove();
  out << fmt::format("{}\n\n{}\n{}wrote {} in {:.0f} s\n", measured.fingerprint,
                     describe(result.families), quality(run, dropped), options.out,
                     now_seconds() - start);
  return 0;
}

}  // namespace foretoken::calibrate
