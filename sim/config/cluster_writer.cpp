#include "sim/config/cluster_writer.h"

#include <fmt/format.h>

#include <vector>

#include "sim/core/quantity.h"

namespace foretoken::config {
namespace {

// Double quotes take any text; only quote and backslash need care.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

bool mirrored(const LinkSpec& a, const LinkSpec& b) {
  return a.from == b.to && a.to == b.from && a.bandwidth == b.bandwidth && a.latency == b.latency &&
         a.link_class == b.link_class;
}

}  // namespace

std::string write_cluster(const ClusterSpec& spec) {
  std::string out = fmt::format("schema: 1\nname: {}\n", quoted(spec.name));
  if (!spec.profile.empty()) {
    out += fmt::format("profile: {}\n", quoted(spec.profile));
  }
  if (!spec.source.empty()) {
    out += fmt::format("source: {}\n", quoted(spec.source));
  }
  out += "vertices:\n";
  for (const VertexSpec& vertex : spec.vertices) {
    out += fmt::format("  - {{id: {}, kind: {}, node: {}{}}}\n", quoted(vertex.id),
                       name(vertex.kind), vertex.node, vertex.multicast ? ", multicast: true" : "");
  }
  out += spec.links.empty() ? "" : "links:\n";
  for (std::size_t i = 0; i < spec.links.size(); ++i) {
    const LinkSpec& link = spec.links[i];
    // Builders and importers add the two directions one after the other.
    const bool both = i + 1 < spec.links.size() && mirrored(link, spec.links[i + 1]);
    out += fmt::format("  - {{from: {}, to: {}, class: {}, bandwidth: {}, latency: {}ps{}}}\n",
                       quoted(spec.vertices[link.from].id), quoted(spec.vertices[link.to].id),
                       name(link.link_class),
                       format_quantity(link.bandwidth.bytes_per_second, Unit::bandwidth),
                       link.latency.count(), both ? "" : ", one_way: true");
    i += both ? 1 : 0;
  }
  return out;
}

}  // namespace foretoken::config
