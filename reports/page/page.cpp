#include "reports/page/page.h"

#include <fmt/format.h>

#include "reports/page/assets.h"
#include "reports/page/chart.h"
#include "sim/core/error.h"

namespace foretoken::page {
namespace {

// Writes the body; figures, sections and tables count upwards for their ids.
class Writer {
 public:
  explicit Writer(bool charts) : charts_(charts) {}

  void header(const Document& document);
  void contents(const std::vector<Section>& sections);
  void body(const std::vector<Section>& sections);

  void operator()(const Text& text) { put("<p>{}</p>\n", escape(text.text)); }
  void operator()(const Table& table) { put_table(table, true); }
  void operator()(const Chart& chart);
  void operator()(const Drawing& drawing);

  const std::string& text() const { return out_; }

 private:
  void section(const Section& section);
  template <typename... Args>
  void put(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void put_table(const Table& table, bool caption);
  void details(const Table& table, const std::string& title, bool open);

  bool charts_;
  int figures_ = 0;
  int sections_ = 0;
  std::string out_;
};

void Writer::header(const Document& document) {
  put("<header>\n<h1>{}</h1>\n", escape(document.title));
  if (!document.subtitle.empty()) {
    put("<p class=\"subtitle\">{}</p>\n", escape(document.subtitle));
  }
  if (!document.warnings.empty()) {
    put("<ul class=\"warnings\" aria-label=\"Warnings\">\n");
    for (const std::string& line : document.warnings) {
      put("<li>{}</li>\n", escape(line));
    }
    put("</ul>\n");
  }
  if (!document.facts.empty()) {
    put("<dl class=\"facts\">\n");
    for (const auto& [name, value] : document.facts) {
      put("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
    }
    put("</dl>\n");
  }
  put("</header>\n");
}

void Writer::contents(const std::vector<Section>& sections) {
  if (sections.size() < 2) {
    return;
  }
  put("<nav aria-label=\"Contents\"><ul>\n");
  for (std::size_t i = 0; i < sections.size(); ++i) {
    put("<li><a href=\"#section-{}\">{}</a></li>\n", i + 1, escape(sections[i].title));
  }
  put("</ul></nav>\n");
}

void Writer::body(const std::vector<Section>& sections) {
  put("<main id=\"main\">\n");
  for (const Section& part : sections) {
    section(part);
  }
  put("</main>\n");
}

void Writer::section(const Section& section) {
  ++sections_;
  put("<section aria-labelledby=\"section-{0}\">\n<h2 id=\"section-{0}\">{1}</h2>\n", sections_,
      escape(section.title));
  for (const Item& item : section.items) {
    std::visit(*this, item);
  }
  put("</section>\n");
}

// Scrolls by itself where it is wider than the page, with the keyboard too.
void Writer::put_table(const Table& table, bool caption) {
  put("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table>\n",
      escape(table.caption));
  if (caption && !table.caption.empty()) {
    put("<caption>{}</caption>\n", escape(table.caption));
  }
  put("<thead><tr>");
  for (const Column& column : table.columns) {
    put("<th scope=\"col\"{}>{}</th>", column.number ? " class=\"n\"" : "", escape(column.title));
  }
  put("</tr></thead>\n<tbody>\n");
  for (const auto& row : table.rows) {
    FT_CHECK(row.size() == table.columns.size(), "table \"{}\": {} cells for {} columns",
             table.caption, row.size(), table.columns.size());
    put("<tr>");
    for (std::size_t i = 0; i < row.size(); ++i) {
      const char* kind = table.columns[i].number ? " class=\"n\"" : "";
      if (i == 0) {
        put("<th scope=\"row\"{}>{}</th>", kind, escape(row[i]));
      } else {
        put("<td{}>{}</td>", kind, escape(row[i]));
      }
    }
    put("</tr>\n");
  }
  put("</tbody></table></div>\n");
}

void Writer::details(const Table& table, const std::string& title, bool open) {
  put("<details{}><summary>Numbers<span class=\"hidden\"> of: {}</span></summary>\n",
      open ? " open" : "", escape(title));
  put_table(table, false);
  put("</details>\n");
}

void Writer::operator()(const Chart& chart) {
  const int id = ++figures_;
  put("<figure id=\"figure-{0}\" class=\"chart\" aria-labelledby=\"title-{0}\">\n"
      "<figcaption><h3 id=\"title-{0}\">{1}</h3><p id=\"about-{0}\">{2}</p></figcaption>\n",
      id, escape(chart.title), escape(chart.description));
  if (charts_) {
    const std::size_t bars = chart.horizontal ? chart.categories.size() : 0;
    put("<div class=\"plot\" style=\"--bars:{}\"><canvas tabindex=\"0\" role=\"img\" "
        "aria-label=\"{}. {} Arrow keys read the points.\"></canvas></div>\n"
        "<script type=\"application/json\">{}</script>\n",
        bars, escape(chart.title), escape(chart.description), chart_json(chart));
  }
  details(chart_table(chart), chart.title, !charts_);
  put("</figure>\n");
}

void Writer::operator()(const Drawing& drawing) {
  const int id = ++figures_;
  put("<figure id=\"figure-{0}\" class=\"drawing\" aria-labelledby=\"title-{0}\">\n"
      "<figcaption><h3 id=\"title-{0}\">{1}</h3><p>{2}</p></figcaption>\n"
      "<div class=\"scroll\" tabindex=\"0\" role=\"img\" aria-label=\"{1}. {2}\">{3}</div>\n",
      id, escape(drawing.title), escape(drawing.description), drawing.svg);
  if (!drawing.numbers.columns.empty()) {
    details(drawing.numbers, drawing.title, false);
  }
  put("</figure>\n");
}

// Nothing is ever fetched: the policy refuses it, whatever the page holds.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string missing_library() {
  return kChartLibrary.empty() ? "charts are left out, tables hold their numbers: this program was "
                                 "built without Chart.js (Debian: libjs-chart.js; then configure "
                                 "and build again)"
                               : "";
}

std::string html(const Document& document, std::string_view chart_library) {
  const bool charts = !chart_library.empty();
  Writer writer(charts);
  writer.header(document);
  writer.contents(document.sections);
  writer.body(document.sections);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n"
      "<body>\n<a class=\"skip\" href=\"#main\">Skip to the results</a>\n{}",
      kPolicy, escape(document.title), kStyle, writer.text());
  if (charts) {
    out += "<noscript><p>Charts need JavaScript; the tables hold their numbers.</p></noscript>\n";
    out += "<div id=\"live\" class=\"hidden\" aria-live=\"polite\"></div>\n<script>\n";
    out += chart_library;
    out += "\n</script>\n<script>\n";
    out += kScript;
    out += "</script>\n";
  }
  return out + "</body>\n</html>\n";
}

std::string html(const Document& document) { return html(document, kChartLibrary); }

}  // namespace foretoken::page
