#include "sim/config/profile_reader.h"

#include <filesystem>
#include <set>
#include <vector>

#include "sim/config/reader.h"
#include "sim/config/sample_file.h"
#include "sim/spec/cluster.h"

namespace foretoken::config {
namespace {

constexpr int kSchema = 1;
constexpr int kMaxBases = 8;

// Provenance and source of numbers that do not state their own.
struct Origin {
  Provenance provenance = Provenance::assumed;
  std::string source;
};

Origin read_origin(MapReader& map, const Origin& fallback) {
  Origin origin = fallback;
  if (const Node* node = map.find("provenance")) {
    origin.provenance =
        *parse_provenance(read_choice(*node, map.path("provenance"), kProvenanceNames));
  }
  origin.source = map.string("source", fallback.source);
  return origin;
}

RealRange range_of(Unit unit) {
  switch (unit) {
    case Unit::bytes:
    case Unit::bandwidth:
    case Unit::compute:
    case Unit::power:
    case Unit::rate:
      return kPositive;
    case Unit::fraction:
      return {0, 2, true};  // a cache can beat the memory behind it; 85 for 85 % is a mistake
    case Unit::time:
    case Unit::number:
    case Unit::money:
      break;
  }
  return kNotNegative;
}

std::vector<std::string_view> elements(std::string_view key) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto dot = key.find('.');
    parts.push_back(key.substr(0, dot));
    if (dot == std::string_view::npos) {
      return parts;
    }
    key.remove_prefix(dot + 1);
  }
}

bool is_link_class(std::string_view text) {
  for (const LinkClass link_class : {LinkClass::nvlink, LinkClass::pix, LinkClass::pxb,
                                     LinkClass::phb, LinkClass::sys, LinkClass::network}) {
    if (name(link_class) == text) {
      return true;
    }
  }
  return false;
}

// "bf16", "fp8", "w8a8", "w4a16/g128", "w4a8/g128/integer-scale": the shape of a GEMM format's
// name; which of them can be priced is for sim/cost to say.
bool is_gemm_format(std::string_view text) {
  const std::string_view head = text.substr(0, text.find('/'));
  for (const std::string_view known : {"fp32", "bf16", "fp16", "fp8", "fp4"}) {
    if (head == known) {
      return true;
    }
  }
  const auto a = head.find('a');
  const auto one_of = [](std::string_view part, std::string_view digits) {
    return part == "fp8" || part == "fp4" || part == "bf16" || part == "fp32" ||
           (part.size() == 1 && digits.find(part[0]) != std::string_view::npos);
  };
  return head.starts_with('w') && a != std::string_view::npos &&
         one_of(head.substr(1, a - 1), "2345678") &&
         (head.substr(a + 1) == "16" || head.substr(a + 1) == "32" ||
          one_of(head.substr(a + 1), "48"));
}

// The known key nearest to what was written, with the written element wherever any would do.
std::string nearest_key(std::string_view written) {
  const auto parts = elements(written);
  std::vector<std::string> candidates;
  for (const ProfileKey& key : profile_keys()) {
    std::string candidate;
    const auto pattern = elements(key.pattern);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      const bool any = pattern[i] == "*" && i < parts.size();
      candidate += (i ? "." : "") + std::string(any ? parts[i] : pattern[i]);
    }
    candidates.push_back(std::move(candidate));
  }
  return std::string(nearest(written, candidates));
}

class ParameterReader {
 public:
  ParameterReader(Profile& profile, const Origin& origin) : profile_(profile), origin_(origin) {}

  void read(const Node& node, const std::string& key) {
    const bool is_leaf = node.kind != Node::Kind::map || node.find("value") != nullptr;
    if (is_leaf) {
      add(node, key);
      return;
    }
    for (const Node::Entry& entry : node.entries) {
      read(*entry.value, key.empty() ? entry.key : key + "." + entry.key);
    }
  }

 private:
  static std::string path(const std::string& key) {
    return key.empty() ? "parameters" : "parameters." + key;
  }

  const ProfileKey& known(const Node& node, const std::string& key) const {
    const auto parts = elements(key);
    const ProfileKey* found = find_profile_key(key);
    if (found == nullptr) {
      const std::string near = nearest_key(key);
      fail(node, path(key),
           near.empty() ? std::string("a profile has no such number; see foretoken list profiles")
                        : fmt::format("unknown number (did you mean \"{}\"?)", near));
    }
    if (parts.size() == 3 && parts[0] == "collective" && !is_link_class(parts[1])) {
      fail(node, path(key),
           fmt::format("\"{}\" is not a link class (nvlink, pix, pxb, phb, sys or network)",
                       parts[1]));
    }
    if (parts.size() == 4 && parts[1] == "protocol" && parts[2] != "simple" &&
        parts[2] != "ll128" && parts[2] != "ll") {
      fail(node, path(key),
           fmt::format("\"{}\" is not a protocol (simple, ll128 or ll)", parts[2]));
    }
    if (parts[0] == "gemm" && !is_gemm_format(parts[1])) {
      fail(
          node, path(key),
          fmt::format("\"{}\" is not a GEMM format (try bf16, fp8, w8a8 or w4a16/g128)", parts[1]));
    }
    return *found;
  }

  void add(const Node& node, const std::string& key) {
    const ProfileKey& spec = known(node, key);
    Parameter parameter{0, origin_.provenance, origin_.source};
    if (node.kind == Node::Kind::map) {
      MapReader map(node, path(key));
      parameter.value = map.quantity("value", spec.unit, range_of(spec.unit));
      const Origin own = read_origin(map, origin_);
      parameter.provenance = own.provenance;
      parameter.source = own.source;
      map.finish();
    } else {
      parameter.value = read_quantity(node, path(key), spec.unit, range_of(spec.unit));
    }
    if (!profile_.parameters.emplace(key, std::move(parameter)).second) {
      fail(node, path(key), "stated twice; remove one");
    }
  }

  Profile& profile_;
  const Origin& origin_;
};

class SampleReader {
 public:
  SampleReader(Profile& profile, const Origin& origin)
      : profile_(profile),
        origin_(origin),
        folder_(std::filesystem::path(profile.file).parent_path()) {}

  void read(const Node::Entry& entry) {
    const std::string key = entry.key;
    const std::string path = "samples." + key;
    const SampleFamily* family = family_of_key(key);
    if (family == nullptr) {
      std::vector<std::string_view> names;
      for (const SampleFamily& candidate : sample_families()) {
        names.push_back(candidate.name);
      }
      const std::string_view near = nearest(key.substr(0, key.find('.')), names);
      throw InputError(entry.mark, path,
                       fmt::format("no such family of samples (try {})",
                                   near.empty() ? std::string_view("gemm.bf16") : near));
    }
    const std::size_t dot = key == family->name ? std::string::npos : family->name.size();
    const Node& value = *entry.value;
    if (value.kind != Node::Kind::map) {
      add(value, path, *family, dot, key, read_string(value, path), std::nullopt, origin_);
      return;
    }
    MapReader map(value, path);
    const std::string file = map.string("file");
    const auto rows = map.optional_integer("rows");
    const Origin origin = read_origin(map, origin_);
    map.finish();
    add(value, path, *family, dot, key, file, rows, origin);
  }

 private:
  void add(const Node& node, const std::string& path, const SampleFamily& family, std::size_t dot,
           const std::string& key, const std::string& file, std::optional<std::int64_t> rows,
           const Origin& origin) {
    const SamplesByFormat& all = load(node, path, family, file);
    std::int64_t taken = 0;
    for (const auto& [format, samples] : all) {
      if (dot != std::string::npos && key.substr(dot + 1) != format) {
        continue;
      }
      SampleTable table{samples, origin.provenance, origin.source};
      taken += static_cast<std::int64_t>(samples.size());
      const std::string name = std::string(family.name) + "." + format;
      if (!profile_.samples.emplace(name, std::move(table)).second) {
        fail(node, path, fmt::format("{} is stated twice; remove one", name));
      }
    }
    if (taken == 0) {
      fail(node, path, fmt::format("{} has no rows of this format; remove the entry", file));
    }
    if (rows && *rows != taken) {
      fail(node, path,
           fmt::format("{} has {} rows, {} were written: the file was cut or edited; copy or "
                       "measure it again",
                       file, taken, *rows));
    }
  }

  // Each file is read once, however many formats are taken from it.
  const SamplesByFormat& load(const Node& node, const std::string& path, const SampleFamily& family,
                              const std::string& file) {
    const std::string full = (folder_ / file).string();
    const auto known = files_.find({full, family.name});
    if (known != files_.end()) {
      return known->second;
    }
    if (!std::filesystem::is_regular_file(full)) {
      fail(node, path,
           fmt::format("no file {}; put it beside the profile or remove the entry", full));
    }
    return files_
        .emplace(std::pair(full, family.name), parse_samples(read_text_file(full), family, full))
        .first->second;
  }

  Profile& profile_;
  const Origin& origin_;
  std::filesystem::path folder_;
  std::map<std::pair<std::string, std::string_view>, SamplesByFormat> files_;
};

Profile read_layer(const std::string& path, std::vector<std::string>& chain);

// The base's path: a name in the same folder, or a path from there.
Profile read_base(const Node& node, const std::string& path, const std::string& base,
                  std::vector<std::string>& chain) {
  const bool is_path = base.ends_with(".yaml") || base.ends_with(".yml");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  const std::string full = (folder / (is_path ? base : base + ".yaml")).lexically_normal().string();
  for (const std::string& above : chain) {
    if (above == full) {
      fail(node, "base", fmt::format("{} rests on itself; remove this base", base));
    }
  }
  if (chain.size() >= kMaxBases) {
    fail(node, "base", fmt::format("more than {} bases under each other", kMaxBases));
  }
  if (!std::filesystem::is_regular_file(full)) {
    fail(node, "base", fmt::format("no file {}; a base stands in the same folder", full));
  }
  return read_layer(full, chain);
}

Profile read_layer(const std::string& path, std::vector<std::string>& chain) {
  chain.push_back(std::filesystem::path(path).lexically_normal().string());
  const auto document = read_document(path);
  MapReader map(*document, "");
  read_schema(map, kSchema);
  Profile own;
  own.file = path;
  own.name = map.string("name");
  own.device = map.string("device", "");
  own.fingerprint = map.string("fingerprint", "");
  own.date = map.string("date", "");
  map.require("provenance");
  const Origin origin = read_origin(map, {});
  if (const Node* node = map.find("parameters")) {
    if (node->kind != Node::Kind::map && node->kind != Node::Kind::null) {
      fail(*node, "parameters", "expected a map");
    }
    for (const Node::Entry& entry : node->entries) {
      ParameterReader(own, origin).read(*entry.value, entry.key);
    }
  }
  if (const Node* node = map.find("samples")) {
    MapReader samples(*node, "samples");
    SampleReader reader(own, origin);
    for (const Node::Entry& entry : samples.entries()) {
      reader.read(entry);
    }
  }
  const Node* base = map.find("base");
  map.finish();
  if (base == nullptr) {
    return own;
  }
  Profile result = read_base(*base, path, read_string(*base, "base"), chain);
  result.override_with(own);
  result.name = own.name;
  return result;
}

}  // namespace

Profile read_profile(const std::string& path) {
  std::vector<std::string> chain;
  return read_layer(path, chain);
}

}  // namespace foretoken::config
