// Reads a model: our own strict YAML (scenarios/models/NAME.yaml) or a Hugging Face config.json.
#pragma once

#include <string>

#include "sim/config/document.h"
#include "sim/spec/model.h"

namespace foretoken::config {

// A file that ends in .json, or begins with a brace and does not end in .yaml, is a config.json;
// all others are ours. Throws InputError.
//
// Of a config.json the keys that decide shapes are read, with Hugging Face's own defaults for that
// model type; all others are ignored. Model types: see `kFamilies` in hugging_face.cpp. A quantised
// checkpoint's formats are not taken from it: precision is the scenario's to state.
ModelSpec read_model(const std::string& path);

// The two formats; `file` is used in messages and, without its extension, as the default name.
ModelSpec parse_model_yaml(const std::string& text, const std::string& file);
ModelSpec parse_hugging_face(const std::string& text, const std::string& file);

// What holds for every model, whichever way it was read: throws InputError on a relation that
// cannot be, such as KV heads that do not divide the heads. `document`: what it was read from, in
// the keys of our format, for the line; null where the keys are another format's.
void check_model(const ModelSpec& model, const std::string& file, const Node* document = nullptr);

}  // namespace foretoken::config
