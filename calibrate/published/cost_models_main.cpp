// cost_models OPS_FOLDER OUT.md: regenerates reports/published/cost-models.md.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <fstream>

#include "calibrate/published/cost_models.h"
#include "sim/core/error.h"

namespace {

int run(const char* ops, const char* out) {
  namespace fc = foretoken::calibrate;
  const auto rows = fc::evaluate_cost_models(ops);
  const auto layouts = fc::evaluate_other_layouts(ops);
  const auto sisters = fc::evaluate_sisters(ops);
  std::ofstream file(out);
  file << fc::cost_model_page(rows, layouts, sisters);
  file.close();
  if (!file) {
    fmt::print(stderr, "cost_models: cannot write {}\n", out);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: cost_models OPS_FOLDER OUT.md\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const foretoken::InputError& error) {
    fmt::print(stderr, "cost_models: {}\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cost_models: {} (a fault of ours)\n", error.what());
    return 1;
  }
}
