// A self-contained HTML page: one file, no network, no server. Tables, charts drawn by Chart.js
// (part of the program where the build found it) and inline SVG; light, dark and print; every chart
// has a table of its numbers, a description for screen readers and can be walked with the keyboard.
//
// The caller fills plain structs and html() writes them. All text is plain: html() escapes it. Only
// Drawing::svg goes in as it is.
#pragma once

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace foretoken::page {

inline constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Text {
  std::string text;
};

struct Column {
  std::string title;   // with its unit
  bool number = true;  // aligned to the right
};

// The first cell of each row is its header. REQUIRES: as many cells in each row as columns.
struct Table {
  std::string caption;
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;
};

struct Point {
  double x = 0;                      // not used by charts with categories
  double y = 0;                      // NaN: a gap
  double low = kNone, high = kNone;  // interval of y, drawn as a band (line) or whiskers
  std::string label = {};            // written beside the point of a scatter
};

struct Series {
  std::string name;
  std::vector<Point> points;  // with categories: one per category, in their order
  bool joined = false;        // scatter: a line through the points, such as a Pareto front
};

struct Axis {
  std::string title;         // with its unit
  bool logarithmic = false;  // values <= 0 are then gaps
};

struct Chart {
  enum class Kind {
    line,      // y over x; interval as a band
    scatter,   // points with labels; interval as whiskers
    bar,       // one group of bars per category; interval as whiskers
    stacked,   // the series of a category add up
    waterfall  // one series: each bar begins where the one before ended; a bar of the sum follows
  };
  Kind kind = Kind::line;
  std::string title;
  std::string description;  // a sentence: what is drawn and what to see; screen readers read it
  Axis x, y;                // with categories: x names them, y is the axis of values
  std::vector<std::string> categories = {};  // bar, stacked, waterfall
  std::vector<Series> series = {};
  bool horizontal = false;  // bars that lie: for more than a few categories, or long names
};

// An SVG element of the caller's with its numbers. Colours: currentColor and the classes of
// page.css (ink, faint, heat-0 .. heat-4, gpu), which follow light and dark. `description` becomes
// its accessible name.
struct Drawing {
  std::string title;
  std::string description;
  std::string svg;
  Table numbers;
};

using Item = std::variant<Text, Table, Chart, Drawing>;

struct Section {
  std::string title;
  std::vector<Item> items;
};

struct Document {
  std::string title;
  std::string subtitle;
  // The first screen: what the page rests on (scenario and its hash, seed, version, provenance).
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<std::string> warnings;
  std::vector<Section> sections;
};

// REQUIRES: points and categories agree in number, rows and columns too (FT_CHECK).
std::string html(const Document& document);
// With another chart library, or none: tables then stand open in place of charts.
std::string html(const Document& document, std::string_view chart_library);

// Empty, or one line that says which library the build lacked, and what to do.
std::string missing_library();

// Replaces & < > " '.
std::string escape(std::string_view text);

// Six significant digits: what both charts and their tables show.
std::string number(double value);

}  // namespace foretoken::page
