// A chart as data for page.js, and as the table beside it. Inside this library only.
#pragma once

#include <string>

#include "reports/page/page.h"

namespace foretoken::page {

// Numbers of six significant digits. REQUIRES: see html().
std::string chart_json(const Chart& chart);
Table chart_table(const Chart& chart);

}  // namespace foretoken::page
