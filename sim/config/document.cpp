#include "sim/config/document.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <map>
#include <sstream>

namespace foretoken::config {
namespace {

// Turns yaml-cpp's events into our tree, refusing what is dangerous or ambiguous.
class TreeBuilder : public YAML::EventHandler {
 public:
  explicit TreeBuilder(std::string file) : file_(std::move(file)) {}

  std::shared_ptr<Node> root() const { return root_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(make(Node::Kind::null, mark), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    auto node = make(Node::Kind::scalar, mark);
    node->scalar = value;
    node->quoted = tag == "!";
    if (!node->quoted && (value == "~" || value == "null")) {
      node->kind = Node::Kind::null;
      node->scalar.clear();
    }
    add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto it = anchors_.find(anchor);
    if (it == anchors_.end()) {
      throw InputError(at(mark), "", "an alias refers to the value it stands in; write it out");
    }
    add(it->second, 0);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(Node::Kind::sequence, mark), anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(make(Node::Kind::map, mark), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<Node> node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    Node::Entry entry;  // the key read, its value to come
  };

  SourceMark at(const YAML::Mark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  std::shared_ptr<Node> make(Node::Kind kind, const YAML::Mark& mark) const {
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->mark = at(mark);
    return node;
  }

  void open(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    if (static_cast<int>(stack_.size()) >= kMaxDepth) {
      throw InputError(node->mark, "",
                       fmt::format("nested more than {} deep; flatten it", kMaxDepth));
    }
    stack_.push_back({std::move(node), anchor, false, {}});
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    add(std::move(done.node), done.anchor);
  }

  // Only complete values get an anchor, so an alias to an open one is a cycle and is refused.
  void add(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    if (anchor != 0) {
      anchors_[anchor] = node;
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node->kind == Node::Kind::map && !parent.has_key) {
      take_key(parent, *node);
      return;
    }
    parent.node->expanded += node->expanded;
    if (parent.node->expanded > kMaxNodes) {
      throw InputError(parent.node->mark, "",
                       fmt::format("expands to more than {} values through its aliases; write out "
                                   "what is meant",
                                   kMaxNodes));
    }
    if (parent.node->kind == Node::Kind::map) {
      parent.entry.value = std::move(node);
      parent.node->entries.push_back(std::move(parent.entry));
      parent.has_key = false;
    } else {
      parent.node->items.push_back(std::move(node));
    }
  }

  static void take_key(Open& parent, const Node& key) {
    if (key.kind != Node::Kind::scalar) {
      throw InputError(key.mark, "", "a key must be a plain word");
    }
    if (key.scalar == "<<") {
      throw InputError(key.mark, "", "merge keys (<<) are not supported; write the keys out");
    }
    if (const Node* first = parent.node->find(key.scalar)) {
      throw InputError(
          key.mark, key.scalar,
          fmt::format("duplicate key (first value on line {}); remove one", first->mark.line));
    }
    parent.entry = {key.scalar, key.mark, nullptr};
    parent.has_key = true;
  }

  std::string file_;
  std::shared_ptr<Node> root_;
  std::vector<Open> stack_;
  std::map<YAML::anchor_t, std::shared_ptr<Node>> anchors_;
};

std::shared_ptr<const Node> replaced(const std::shared_ptr<const Node>& node,
                                     std::string_view key_path,
                                     const std::shared_ptr<const Node>& value,
                                     const SourceMark& mark) {
  auto copy = node ? std::make_shared<Node>(*node) : std::make_shared<Node>();
  if (copy->kind != Node::Kind::map) {
    if (copy->kind != Node::Kind::null && node) {
      // A short form (`weights: int8`) is replaced by the map that the override opens.
      copy = std::make_shared<Node>();
    }
    copy->kind = Node::Kind::map;
    copy->mark = mark;
  }
  const auto dot = key_path.find('.');
  const std::string key(key_path.substr(0, dot));
  Node::Entry* entry = nullptr;
  for (Node::Entry& candidate : copy->entries) {
    if (candidate.key == key) {
      entry = &candidate;
    }
  }
  if (entry == nullptr) {
    entry = &copy->entries.emplace_back(Node::Entry{key, mark, nullptr});
  }
  entry->value = dot == std::string_view::npos
                     ? value
                     : replaced(entry->value, key_path.substr(dot + 1), value, mark);
  return copy;
}

void write_canonical(const Node& node, std::string& out) {
  switch (node.kind) {
    case Node::Kind::null:
      out += "~";
      break;
    case Node::Kind::scalar:
      out += fmt::format("{}:{}", node.scalar.size(), node.scalar);
      break;
    case Node::Kind::sequence:
      out += "[";
      for (const auto& item : node.items) {
        write_canonical(*item, out);
        out += ",";
      }
      out += "]";
      break;
    case Node::Kind::map: {
      std::map<std::string_view, const Node*> sorted;
      for (const Node::Entry& entry : node.entries) {
        sorted.emplace(entry.key, entry.value.get());
      }
      out += "{";
      for (const auto& [key, value] : sorted) {
        out += fmt::format("{}:{}=", key.size(), key);
        write_canonical(*value, out);
        out += ",";
      }
      out += "}";
      break;
    }
  }
}

}  // namespace

const Node* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) {
      return entry.value.get();
    }
  }
  return nullptr;
}

std::shared_ptr<const Node> parse_document(const std::string& text, const std::string& file) {
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    TreeBuilder builder(file);
    if (!parser.HandleNextDocument(builder) || !builder.root()) {
      throw InputError(SourceMark{file, 0, 0}, "", "the file is empty");
    }
    TreeBuilder rest(file);
    if (parser.HandleNextDocument(rest) && rest.root()) {
      throw InputError(rest.root()->mark, "", "more than one document; put each in its own file");
    }
    return builder.root();
  } catch (const YAML::Exception& error) {
    throw InputError(SourceMark{file, error.mark.line + 1, error.mark.column + 1}, "",
                     fmt::format("not valid YAML: {}", error.msg));
  }
}

std::string read_text_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  // An empty file sets failbit on operator<<, a directory opens but cannot be read.
  if (!stream ||
      (stream.peek() != std::ifstream::traits_type::eof() && !(text << stream.rdbuf())) ||
      stream.bad()) {
    throw InputError(SourceMark{path, 0, 0}, "", "cannot read this file; check the path");
  }
  return text.str();
}

std::shared_ptr<const Node> read_document(const std::string& path) {
  return parse_document(read_text_file(path), path);
}

std::shared_ptr<const Node> with_override(const std::shared_ptr<const Node>& root,
                                          const std::string& assignment,
                                          const std::string& option) {
  const auto equals = assignment.find('=');
  const std::string origin = option + " " + assignment;
  if (equals == std::string::npos || equals == 0) {
    throw InputError(SourceMark{origin, 0, 0}, "", "write it as key.path=value");
  }
  const std::string key_path = assignment.substr(0, equals);
  if (key_path.front() == '.' || key_path.back() == '.' ||
      key_path.find("..") != std::string::npos) {
    throw InputError(SourceMark{origin, 0, 0}, "", "the key path has an empty part");
  }
  const std::string text = assignment.substr(equals + 1);
  if (text.empty()) {
    throw InputError(SourceMark{origin, 0, 0}, key_path, "the value is empty");
  }
  return replaced(root, key_path, parse_document(text, origin), SourceMark{origin, 0, 0});
}

std::string canonical_text(const Node& node) {
  std::string out;
  write_canonical(node, out);
  return out;
}

}  // namespace foretoken::config
