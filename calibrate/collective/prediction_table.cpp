#include "calibrate/collective/prediction_table.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <tuple>

#include "calibrate/import/csv_table.h"

namespace foretoken::calibrate {
namespace {

struct System {
  std::string_view name;
  AllReduceBox box;
};

// One-way bandwidth per GPU: ai-dynamo/aiconfigurator systems/*.yaml.
constexpr System kSystems[]{{"a100_sxm", {300e9, true, false}},
                            {"h100_sxm", {450e9, true, true}},
                            {"h200_sxm", {450e9, true, true}},
                            {"b200_sxm", {900e9, true, true}},
                            {"rtx_pro_6000_server", {64e9, false, false}}};

const System* find_system(std::string_view name) {
  for (const System& system : kSystems) {
    if (system.name == name) {
      return &system;
    }
  }
  return nullptr;
}

// By system and library; times by (ranks, bytes).
using Curve = std::map<std::pair<int, std::int64_t>, double>;
using Curves = std::map<std::pair<std::string, std::string>, Curve>;

Curves read_nccl(const std::string& path) {
  const CsvTable table(
      path, {"system", "nccl_version", "op", "dtype", "num_gpus", "bytes", "latency_us"});
  Curves curves;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.text(row, "op") == "all_reduce" && table.text(row, "dtype") == "half") {
      const std::string library = fmt::format("NCCL {}", table.text(row, "nccl_version"));
      curves[{std::string(table.text(row, "system")), library}]
            [{static_cast<int>(table.integer(row, "num_gpus")), table.integer(row, "bytes")}] =
                table.number(row, "latency_us") * 1e-6;
    }
  }
  return curves;
}

Curves read_custom(const std::string& path) {
  const CsvTable table(
      path, {"system", "framework", "version", "backend", "num_gpus", "bytes", "latency_us"});
  Curves curves;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::string_view backend = table.text(row, "backend");
    if (backend.find("eager") == std::string_view::npos &&
        backend.find("sglang") == std::string_view::npos) {
      const std::string library =
          fmt::format("{} {}", table.text(row, "framework"), table.text(row, "version"));
      curves[{std::string(table.text(row, "system")), library}]
            [{static_cast<int>(table.integer(row, "num_gpus")), table.integer(row, "bytes")}] =
                table.number(row, "latency_us") * 1e-6;
    }
  }
  return curves;
}

std::vector<AllReducePoint> points_of(const Curve& curve, bool held_out) {
  std::vector<AllReducePoint> points;
  for (const auto& [key, seconds] : curve) {
    if ((key.first == 4) == held_out) {
      points.push_back({key.first, key.second, seconds});
    }
  }
  return points;
}

double interpolation_error(const Curve& curve) {
  double sum = 0;
  int count = 0;
  for (const auto& [key, seconds] : curve) {
    const auto two = curve.find({2, key.second});
    const auto eight = curve.find({8, key.second});
    if (key.first == 4 && two != curve.end() && eight != curve.end()) {
      sum += std::abs(std::sqrt(two->second * eight->second) / seconds - 1);
      ++count;
    }
  }
  return sum / count;
}

AllReducePrediction row_of(const std::pair<std::string, std::string>& key, const Curve& curve,
                           const AllReduceModel& model, bool custom) {
  AllReducePrediction row;
  row.system = key.first;
  row.library = key.second;
  row.custom = custom;
  row.points = static_cast<int>(points_of(curve, true).size());
  row.fit_error = mean_error(model, points_of(curve, false));
  row.error = mean_error(model, points_of(curve, true));
  row.interpolation = interpolation_error(curve);
  return row;
}

bool complete(const Curve& curve) { return curve.lower_bound({8, 0}) != curve.end(); }

}  // namespace

std::map<std::string, AllReduceModel> fitted_nccl_models(const std::string& folder) {
  std::map<std::string, AllReduceModel> models;
  for (const auto& [key, curve] : read_nccl(folder + "/nccl_single_node.csv")) {
    const System* system = find_system(key.first);
    if (system != nullptr && complete(curve)) {
      models[key.first] = fit(nccl_model(system->box), points_of(curve, false));
    }
  }
  return models;
}

std::vector<AllReducePrediction> predict_all_reduce(const std::string& folder) {
  std::vector<AllReducePrediction> rows;
  const std::map<std::string, AllReduceModel> nccl = fitted_nccl_models(folder);
  for (const auto& [key, curve] : read_nccl(folder + "/nccl_single_node.csv")) {
    if (const auto model = nccl.find(key.first); model != nccl.end() && complete(curve)) {
      rows.push_back(row_of(key, curve, model->second, false));
    }
  }
  for (const auto& [key, curve] : read_custom(folder + "/custom_allreduce_single_node.csv")) {
    const auto base = nccl.find(key.first);
    if (base != nccl.end() && complete(curve)) {
      // Large messages go through NCCL, with the constants it was found to have.
      AllReduceModel model = base->second;
      const std::size_t first = model.kernels.size();
      add_custom_kernels(model);
      model.pairs_only = !model.box.nvswitch;
      rows.push_back(row_of(key, curve, fit(model, points_of(curve, false), first), true));
    }
  }
  return rows;
}

std::string to_markdown(const std::vector<AllReducePrediction>& rows) {
  std::string text =
      "## All-reduce times of four GPUs, predicted from two and eight\n\n"
      "Link and latency constants of each system are fitted on measurements of two and of eight\n"
      "GPUs; four GPUs are then simulated with them, every transfer a flow. Errors are means of\n"
      "|predicted / measured - 1| over the sizes. Interpolation is the geometric mean of the "
      "times\n"
      "of two and eight.\n\n"
      "The measurements are those of ai-dynamo/aiconfigurator (Apache-2.0). Left out: eager and\n"
      "sglang rows (host overhead is in them), GB200 (no eight ranks), L40S (eight ranks at\n"
      "1.5 GB/s, which no link of such a box explains).\n\n"
      "No constant is fitted on four GPUs, but three choices of the model were made while seeing\n"
      "them: the strength of the fit's weak pull towards typical constants (from half to twice "
      "the\n"
      "value both means stay within 0.3 points), that what crosses a host bridge of the PCIe box\n"
      "has an efficiency of its own, and that vLLM offers its custom kernel only to pairs there.\n"
      "In so far the errors are not those of a blind prediction.\n\n"
      "| library | system | sizes | error of the fit | error, four GPUs | interpolation |\n"
      "|---|---|---|---|---|---|\n";
  for (const bool custom : {false, true}) {
    double error = 0;
    double interpolation = 0;
    int count = 0;
    for (const AllReducePrediction& row : rows) {
      if (row.custom == custom) {
        text += fmt::format("| {} | {} | {} | {:.1f} % | {:.1f} % | {:.1f} % |\n", row.library,
                            row.system, row.points, 100 * row.fit_error, 100 * row.error,
                            100 * row.interpolation);
        error += row.error;
        interpolation += row.interpolation;
        ++count;
      }
    }
    if (count > 0) {
      text +=
          fmt::format("| **{}, mean** | | | | **{:.1f} %** | **{:.1f} %** |\n",
                      custom ? "custom" : "NCCL", 100 * error / count, 100 * interpolation / count);
    }
  }
  return text;
}

}  // namespace foretoken::calibrate
