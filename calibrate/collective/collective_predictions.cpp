// collective_predictions FOLDER: prints reports/published/collectives.md.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "calibrate/collective/page.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: collective_predictions FOLDER-OF-CSV\n");
    return 2;
  }
  try {
    fmt::print("{}", foretoken::calibrate::collectives_page(argv[1]));
  } catch (const std::exception& error) {
    fmt::print(stderr, "collective_predictions: {}\n", error.what());
    return 2;
  }
  return 0;
}
