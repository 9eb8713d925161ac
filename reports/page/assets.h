// What is embedded in the program (foretoken_embed in CMakeLists.txt). Inside this library only.
#pragma once

#include <string_view>

namespace foretoken::page {

extern const std::string_view kChartLibrary;  // empty where the build found no Chart.js
extern const std::string_view kScript;        // page.js
extern const std::string_view kStyle;         // page.css

}  // namespace foretoken::page
