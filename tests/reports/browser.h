// Opens a page in a headless browser and tells what a reader would meet.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace foretoken {

// chromium-headless-shell on PATH (Debian package of that name); empty: there is none.
std::string find_browser();

struct View {
  int width = 1600;
  int height = 1000;
  bool dark = false;
};

struct Visit {
  bool opened = false;                // false: the browser failed; `log` tells
  std::vector<std::string> console;   // errors, warnings and messages of the page
  std::vector<std::string> requests;  // every URL asked for that is not a file or data
  nlohmann::json seen;                // what `probe` returned
  std::string log;
};

// `probe`: the body of a JavaScript function, run when the page has loaded; it returns a value that
// JSON can hold. `folder`: for the files of the visit.
Visit visit(const std::string& page, const View& view, const std::string& probe,
            const std::string& folder);

}  // namespace foretoken
