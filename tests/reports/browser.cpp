#include "tests/reports/browser.h"

#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace foretoken {
namespace {

std::string read(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

// Errors are caught from the page's first script on.
constexpr const char* kBefore =
    "<script>window.probeErrors = [];\n"
    "addEventListener('error', e => probeErrors.push(String(e.message)));\n"
    "addEventListener('unhandledrejection', e => probeErrors.push(String(e.reason)));\n"
    "addEventListener('securitypolicyviolation', e => probeErrors.push('refused ' + "
    "e.blockedURI));\n"
    "</script>\n";
constexpr const char* kAfter =
    "<script>addEventListener('load', () => {{\n"
    "  const seen = (() => {{ {} }})();\n"
    "  const element = document.createElement('script');\n"
    "  element.type = 'application/json';\n"
    "  element.id = 'probe-result';\n"
    "  element.textContent =\n"
    "      JSON.stringify({{seen, errors: probeErrors}}).replaceAll('<', '\\\\u003c');\n"
    "  document.body.append(element);\n"
    "}});</script>\n";

void collect_requests(const nlohmann::json& log, std::vector<std::string>& requests) {
  for (const nlohmann::json& event : log["events"]) {
    if (!event.contains("params") || !event["params"].contains("url")) {
      continue;
    }
    const std::string url = event["params"]["url"];
    if (url.rfind("http", 0) == 0 || url.rfind("ws", 0) == 0 || url.rfind("ftp", 0) == 0) {
      requests.push_back(url);
    }
  }
}

}  // namespace

std::string find_browser() {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  std::string folder;
  while (std::getline(folders, folder, ':')) {
    const std::filesystem::path program = std::filesystem::path(folder) / "chromium-headless-shell";
    if (std::filesystem::exists(program)) {
      return program.string();
    }
  }
  return "";
}

Visit visit(const std::string& page, const View& view, const std::string& probe,
            const std::string& folder) {
  namespace fs = std::filesystem;
  std::string html = read(page);
  html.insert(html.find("</title>") + 8, kBefore);
  html.insert(html.rfind("</body>"), fmt::format(fmt::runtime(kAfter), probe));
  const fs::path base = fs::absolute(folder) / fmt::format("visit-{}-{}", view.width, view.dark);
  fs::create_directories(base);
  std::ofstream(base / "page.html", std::ios::binary) << html;
  const std::string command = fmt::format(
      "HOME={0} timeout 120 {1} --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
      "--disable-background-networking --disable-component-update --no-first-run "
      "--user-data-dir={0}/profile --log-net-log={0}/net.json --enable-logging=stderr --v=0 "
      "--window-size={2},{3} --blink-settings=preferredColorScheme={4} "
      "--dump-dom file://{0}/page.html >{0}/dom.html 2>{0}/log",
      base.string(), find_browser(), view.width, view.height, view.dark ? 0 : 1);
  Visit visit;
  const int status = std::system(command.c_str());
  visit.log = read((base / "log").string());
  std::istringstream lines(visit.log);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.find(":CONSOLE") != std::string::npos) {
      visit.console.push_back(line);
    }
  }
  const nlohmann::json net =
      nlohmann::json::parse(read((base / "net.json").string()), nullptr, false);
  const std::string dom = read((base / "dom.html").string());
  const std::string open = "id=\"probe-result\">";
  const std::size_t begin = dom.find(open);
  if (status != 0 || begin == std::string::npos || net.is_discarded()) {
    return visit;
  }
  const std::size_t end = dom.find("</script>", begin);
  const auto result = nlohmann::json::parse(
      dom.substr(begin + open.size(), end - begin - open.size()), nullptr, false);
  if (result.is_discarded()) {
    return visit;
  }
  visit.opened = true;
  visit.seen = result["seen"];
  for (const nlohmann::json& error : result["errors"]) {
    visit.console.push_back(error.get<std::string>());
  }
  collect_requests(net, visit.requests);
  return visit;
}

}  // namespace foretoken
