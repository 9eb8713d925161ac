// A profile as YAML and CSV text. What is written reads back to the same doubles.
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/config/profile_reader.h"
#include "sim/config/sample_file.h"
#include "sim/core/error.h"

namespace foretoken::config {
namespace {

using Origin = std::pair<Provenance, std::string>;

// JSON's quoted text is YAML's; bytes that are not UTF-8 are replaced.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string key_text(std::string_view key) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/-";
  const bool plain = key.find_first_not_of(kPlain) == std::string_view::npos;
  return plain && !key.empty() ? std::string(key) : quoted(std::string(key));
}

// The origin that most numbers share stands once, at the top.
Origin common_origin(const Profile& profile) {
  std::map<Origin, int> count;
  for (const auto& [key, parameter] : profile.parameters) {
    ++count[{parameter.provenance, parameter.source}];
  }
  for (const auto& [key, table] : profile.samples) {
    ++count[{table.provenance, table.source}];
  }
  Origin best{Provenance::assumed, ""};
  int most = 0;
  for (const auto& [origin, n] : count) {
    if (n > most) {
      most = n;
      best = origin;
    }
  }
  return best;
}

// ", provenance: measured, source: ..." where it differs from the common one.
std::string own_origin(Provenance provenance, const std::string& source, const Origin& common) {
  std::string text;
  if (provenance != common.first) {
    text += fmt::format(", provenance: {}", name(provenance));
  }
  if (source != common.second) {
    text += ", source: " + quoted(source);
  }
  return text;
}

std::string leaf(const std::string& key, const Parameter& parameter, const Origin& common) {
  const ProfileKey* known = find_profile_key(key);
  FT_CHECK(known != nullptr, "profile number {} is not in the table", key);
  const std::string value = format_quantity(parameter.value, known->unit);
  const std::string origin = own_origin(parameter.provenance, parameter.source, common);
  return origin.empty() ? value : fmt::format("{{value: {}{}}}", value, origin);
}

// Dotted keys as nested maps. Keys come sorted, so equal prefixes stand together.
std::string write_parameters(const Profile& profile, const Origin& common) {
  std::string text = profile.parameters.empty() ? "" : "parameters:\n";
  std::vector<std::string> open;  // path elements of the maps that are open
  for (const auto& [key, parameter] : profile.parameters) {
    std::vector<std::string> path;
    for (std::size_t begin = 0; begin <= key.size();) {
      const std::size_t end = std::min(key.find('.', begin), key.size());
      path.push_back(key.substr(begin, end - begin));
      begin = end + 1;
    }
    const std::string last = path.back();
    path.pop_back();
    std::size_t shared = 0;
    while (shared < std::min(open.size(), path.size()) && open[shared] == path[shared]) {
      ++shared;
    }
    for (std::size_t depth = shared; depth < path.size(); ++depth) {
      text += std::string(2 * (depth + 1), ' ') + key_text(path[depth]) + ":\n";
    }
    open = path;
    text += std::string(2 * (path.size() + 1), ' ') + key_text(last) + ": " +
            leaf(key, parameter, common) + "\n";
  }
  return text;
}

// Tables of one family, by format.
std::map<std::string, const SampleTable*> tables_of(const Profile& profile,
                                                    std::string_view family) {
  std::map<std::string, const SampleTable*> tables;
  const std::string prefix = std::string(family) + ".";
  for (const auto& [key, table] : profile.samples) {
    if (key.starts_with(prefix)) {
      tables[key.substr(prefix.size())] = &table;
    }
  }
  return tables;
}

std::string sample_file_name(const std::string& stem, std::string_view family) {
  return fmt::format("{}.{}.csv", stem, family);
}

std::string write_sample_entries(const Profile& profile, const std::string& stem,
                                 const Origin& common) {
  std::string text = profile.samples.empty() ? "" : "samples:\n";
  for (const auto& [key, table] : profile.samples) {
    const SampleFamily* const family = family_of_key(key);
    FT_CHECK(family != nullptr, "no CSV columns for samples {}", key);
    text += fmt::format("  {}: {{file: {}, rows: {}{}}}\n", quoted(key),
                        quoted(sample_file_name(stem, family->name)), table.samples.size(),
                        own_origin(table.provenance, table.source, common));
  }
  return text;
}

void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    throw InputError(SourceMark{path.string(), 0, 0}, "",
                     "cannot write this file; choose another place");
  }
}

}  // namespace

std::string write_profile(const Profile& profile, const std::string& stem) {
  const Origin common = common_origin(profile);
  std::string text = "schema: 1\nname: " + quoted(profile.name) + "\n";
  for (const auto& [key, value] :
       {std::pair("device", &profile.device), std::pair("fingerprint", &profile.fingerprint),
        std::pair("date", &profile.date)}) {
    if (!value->empty()) {
      text += fmt::format("{}: {}\n", key, quoted(*value));
    }
  }
  text += fmt::format("provenance: {}\nsource: {}\n", name(common.first), quoted(common.second));
  return text + write_parameters(profile, common) + write_sample_entries(profile, stem, common);
}

// Samples first: a YAML that is there always finds its CSV.
void save_profile(const Profile& profile, const std::string& path) {
  const std::filesystem::path file(path);
  const std::string stem = file.stem().string();
  for (const SampleFamily& family : sample_families()) {
    const auto tables = tables_of(profile, family.name);
    if (!tables.empty()) {
      write_file(file.parent_path() / sample_file_name(stem, family.name),
                 write_samples(tables, family));
    }
  }
  write_file(file, write_profile(profile, stem));
}

}  // namespace foretoken::config
