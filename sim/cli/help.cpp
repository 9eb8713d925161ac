#include "sim/cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include "sim/core/error.h"
#include "sim/core/quantity.h"

namespace foretoken::cli {
namespace {

constexpr std::size_t kWidth = 96;
constexpr std::size_t kNameColumn = 22;

struct Page {
  std::string_view command;
  std::string_view description;  // paragraphs parted by an empty line
  std::string_view examples;     // a line each; "# " says what the next one does
};

constexpr Page kPages[] = {
    {"foretoken",
     "Predicts time to first token, time per token and throughput of LLM serving on GPU clusters, "
     "for any bit width of weights, activations, KV cache and communication, any topology and any "
     "parallel layout. Every number carries its provenance and an interval.\n\nShipped files "
     "(scenarios, topologies, profiles, models) go by name or by path. They are looked for in "
     "$FORETOKEN_DATA, or above the program, the current folder or the source tree. Quantities "
     "carry their unit: 450GB/s, 700ns, 80GiB; GB is 10^9, GiB is 2^30.",
     "foretoken simulate scenarios/quickstart.yaml\n"
     "# every option of a command\nforetoken help compare"},
    {"foretoken simulate",
     "Simulates the scenario's requests and prints throughput in tokens and requests per second "
     "and "
     "times in ms, each with the interval of the replications. --json writes the names of `vllm "
     "bench serve`.",
     "foretoken simulate scenarios/quickstart.yaml\n"
     "foretoken simulate scenarios/quickstart.yaml --set workload.arrivals.poisson=2/s --json -"},
    {"foretoken compare",
     "Simulates the scenario once for every combination of the --vary values and prints them side "
     "by "
     "side: TTFT and TPOT in ms, throughput in tokens/s, goodput in requests/s, cost per million "
     "output tokens in the scenario's currency, memory in GB per GPU, the largest batch, energy in "
     "joules per output token at the GPUs' power limit, and the numeric error of weights, GEMM "
     "outputs and all-reduces in dB, measured with the real kernels. Rows whose intervals overlap "
     "the best are marked as ties. A row that cannot run, for want of memory or otherwise, stays "
     "in "
     "the table with its reason. Published accuracy of the model's family at the same widths is "
     "listed below the table.",
     "foretoken compare scenarios/8xl40s-llama-70b.yaml --vary "
     "precision.all_reduce=bf16,int8,int5\n"
     "# every combination of two keys, without replications\n"
     "foretoken compare scenarios/8xl40s-llama-70b.yaml --vary precision.weights=bf16,int4/g128 "
     "--vary precision.all_reduce=bf16,int4 --replications 0 --csv -"},
    {"foretoken explain",
     "Prints the mean time to first token and per output token as waterfalls (queue, host, GEMMs "
     "by "
     "format, attention, codec, wire, contention, pipeline bubbles), then an average prompt and an "
     "average decode step operator by operator with provenance, where each GEMM stands under its "
     "roofline, and the link that each collective waits for. With two scenarios: the difference, "
     "term by term. Times are in ms or us as stated.",
     "foretoken explain scenarios/quickstart.yaml\n"
     "# what differs between two scenarios\n"
     "foretoken explain scenarios/quickstart.yaml scenarios/8xl40s-llama-70b.yaml"},
    {"foretoken collective",
     "Simulates one collective on a topology for each size, wire format and algorithm: time in us, "
     "bandwidths in GB/s of uncompressed bytes, bytes sent by one rank, and from which size on a "
     "format pays.",
     "foretoken collective --topology 8xl40s-pcie --wire bf16,int8/g128,int4/g32/spike\n"
     "foretoken collective --topology hgx-h100-8 --op all_to_all --sizes 1MiB,16MiB --json -"},
    {"foretoken topology", "Looks at a cluster.", "foretoken topology show hgx-h100-8"},
    {"foretoken topology show",
     "Prints the devices of a cluster as a tree, with bandwidths and latencies.",
     "foretoken topology show hgx-h100-8\n"
     "foretoken topology show 8xl40s-pcie --dot -"},
    {"foretoken topology detect",
     "Describes this machine as hwloc and NVML see it and writes it as a topology file.",
     "foretoken topology detect\nforetoken topology detect --out this-machine.yaml"},
    {"foretoken list", "Prints what ships with the program and the names it knows.",
     "foretoken list models\nforetoken list formats"},
    {"foretoken list models", "Layers, widths and kind of each shipped model description.",
     "foretoken list models"},
    {"foretoken list topologies", "Each shipped cluster, its GPUs and its default profile.",
     "foretoken list topologies"},
    {"foretoken list profiles",
     "Each shipped profile, and how many of its numbers were measured, imported, published, "
     "derived "
     "or assumed.",
     "foretoken list profiles"},
    {"foretoken list schedulers", "The engine presets and how each forms batches.",
     "foretoken list schedulers"},
    {"foretoken list collectives", "The algorithms of collectives, each with steps and bytes.",
     "foretoken list collectives"},
    {"foretoken list formats", "The number formats, and where each may stand in a scenario.",
     "foretoken list formats"},
    {"foretoken calibrate",
     "Measures the kernels on this machine and writes a profile (YAML, with the samples as CSV "
     "beside it), each number with its residual.",
     "foretoken calibrate --backend cpu --quick --out my-machine.yaml"},
    {"foretoken import",
     "Turns other people's measurements and dumps into profiles and topologies.",
     "foretoken help import aiconfigurator\n"
     "foretoken help import nvidia-smi-topo"},
    {"foretoken import nccl-topo-xml",
     "Reads the machine that NCCL wrote to the file named by NCCL_TOPO_DUMP_FILE, into a topology "
     "file.",
     "foretoken import nccl-topo-xml topo.xml --gpu h100-sxm --out my-cluster.yaml"},
    {"foretoken import aiconfigurator",
     "Reads operator tables of ai-dynamo/aiconfigurator (CSV, recognised by their header) into a "
     "profile; the samples stand as CSV beside it.",
     "foretoken import aiconfigurator gemm.csv attention.csv --out my-gpu.yaml"},
    {"foretoken import vidur",
     "Reads the layer and network profiles of microsoft/vidur (CSV) into a profile; the samples "
     "stand "
     "as CSV beside it.",
     "foretoken import vidur mlp.csv attention.csv --out my-gpu.yaml"},
    {"foretoken import llmservingsim",
     "Reads a kernel profile of casys-kaist/LLMServingSim into a profile: the files that begin "
     "with "
     "the given path and end in dense.csv, per_sequence.csv and attention.csv. They were measured "
     "with one model at one tensor degree, which must be stated.",
     "foretoken import llmservingsim RTX4090_bf16_tp1_ --model llama-3.1-8b --out my-gpu.yaml"},
    {"foretoken import transfer",
     "Turns a profile's samples of GEMMs, attention and layer operators into those of a device of "
     "the same architecture beside another memory: each time changes by what the two datasheets "
     "say that the call takes longer or shorter, at most in proportion. The samples count as "
     "derived. Stack the result on the other device: `profile: [a100-sxm-40gb, my-a100-40.yaml]`.",
     "foretoken import transfer my-a100.yaml --from a100-sxm-80gb --to a100-sxm-40gb "
     "--out my-a100-40.yaml"},
    {"foretoken import nccl-tests",
     "Reads what an nccl-tests program printed into a profile; times are those of its out-of-place "
     "column, sizes in bytes.",
     "foretoken import nccl-tests all_reduce.txt --operation all_reduce --out my-links.yaml"},
    {"foretoken import nvidia-smi-topo", "Reads what `nvidia-smi topo -m` printed.",
     "foretoken import nvidia-smi-topo topo.txt --gpu l40s --out my-cluster.yaml"},
    {"foretoken plan",
     "Searches clusters, layouts, precisions and batch limits (`plan:` in the scenario) for what "
     "meets the targets of `slo:` at the scenario's rate: closed-form bounds leave out what "
     "cannot, "
     "the rest is simulated. Shows the front of cost, latency and throughput, the cheapest plan, "
     "why "
     "the others lost, and what is left when a GPU or a node fails. With --db every result is "
     "kept; "
     "--resume goes on after an interruption.",
     "foretoken plan scenarios/plan-70b.yaml --jobs 2 --db plan.sqlite"},
    {"foretoken verify",
     "Runs the scenario's work for real on this machine and compares with the prediction.",
     "foretoken verify scenarios/verify.yaml"},
    {"foretoken completion",
     "Prints a script that completes commands, options and files in a shell. It is made from the "
     "same tables as this help.",
     "# bash, for this session\nsource <(foretoken completion bash)\n"
     "# zsh, in a folder of $fpath\nforetoken completion zsh > _foretoken"},
    {"foretoken help", "Prints the page of a command; without one, that of the program.",
     "foretoken help compare\nforetoken help topology show"},
};

const Page* page_of(const std::string& path) {
  const auto* it = std::find_if(std::begin(kPages), std::end(kPages),
                                [&](const Page& page) { return page.command == path; });
  return it == std::end(kPages) ? nullptr : it;
}

std::string filled(std::string_view text, std::size_t indent) {
  std::string out;
  std::istringstream paragraphs{std::string(text)};
  for (std::string paragraph; std::getline(paragraphs, paragraph);) {
    std::istringstream words(paragraph);
    std::string line(indent, ' '), word;
    bool empty = true;
    while (words >> word) {
      if (!empty && line.size() + 1 + word.size() > kWidth) {
        out += line + "\n";
        line = std::string(indent, ' ');
        empty = true;
      }
      line += (empty ? "" : " ") + word;
      empty = false;
    }
    out += empty ? "\n" : line + "\n";
  }
  return out;
}

struct TypeName {
  std::string value;  // "N"
  std::string range;  // "0 to 1024"; empty: any
};

// CLI11 appends what its checks allow: "N:INT in [0 - 1024]".
TypeName type_of(const CLI::Option& option) {
  const std::string text = option.get_type_name();
  const auto in = text.find(" in [");
  if (in == std::string::npos) {
    const auto set = text.find(":{");
    return set == std::string::npos
               ? TypeName{text, ""}
               : TypeName{text.substr(0, set), text.substr(set + 2, text.size() - set - 3)};
  }
  const auto colon = text.rfind(':', in);
  std::string range = text.substr(in + 5, text.size() - in - 6);
  const auto dash = range.find(" - ");
  range.replace(dash, 3, " to ");
  return {colon == std::string::npos ? text.substr(0, in) : text.substr(0, colon), range};
}

std::string value_name(const CLI::Option& option) {
  static constexpr std::pair<std::string_view, std::string_view> kPlain[] = {
      {"TEXT", "TEXT"}, {"INT", "N"}, {"UINT", "N"}, {"FLOAT", "X"}};
  std::string type = type_of(option).value;
  for (const auto& [from, to] : kPlain) {
    if (type == from) {
      return std::string(to);
    }
  }
  return type;
}

std::string option_name(const CLI::Option& option) {
  if (option.get_positional()) {
    const std::string type = type_of(option).value;
    return type == "TEXT" ? option.get_name(true) : type;
  }
  const std::string name = option.get_name();
  return option.get_expected_max() == 0 ? name : name + " " + value_name(option);
}

std::string option_text(const CLI::Option& option) {
  std::string text = option.get_description();
  if (!text.empty() && text.back() != '.') {
    text += ".";
  }
  if (const std::string range = type_of(option).range; !range.empty()) {
    text += " " + range + ".";
  }
  if (const std::string fallback = option.get_default_str(); !fallback.empty()) {
    text += " Default: " + fallback + ".";
  }
  return fmt::format("  {}{}\n", option_name(option), option.get_required() ? "  (required)" : "") +
         filled(text, 6);
}

std::vector<const CLI::Option*> options_of(const CLI::App& command) {
  return command.get_options([](const CLI::Option*) { return true; });
}

std::vector<const CLI::App*> commands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* c) { return !c->get_name().empty(); });
}

std::string synopsis(const CLI::App& command) {
  std::string text = command_path(command);
  for (const CLI::Option* option : options_of(command)) {
    if (option->get_positional()) {
      const std::string name = option_name(*option);
      text += option->get_required() ? " " + name : " [" + name + "]";
    } else if (option->get_required()) {
      text += " " + option_name(*option);
    }
  }
  return text + (commands_of(command).empty() ? " [OPTION]..." : " COMMAND ...");
}

std::string section(std::string_view title, const std::string& body) {
  return body.empty() ? "" : fmt::format("{}\n{}\n", title, body);
}

std::string examples_text(const Page& page) {
  std::string out;
  std::istringstream lines{std::string(page.examples)};
  for (std::string line; std::getline(lines, line);) {
    std::string text = filled(line, 2);
    // A command that is broken off goes on in the next line.
    for (auto at = text.find('\n'); at + 1 < text.size(); at = text.find('\n', at + 8)) {
      text.replace(at, 1, " \\\n    ");
    }
    out += text;
  }
  return out;
}

constexpr std::string_view kExitStatus =
    "  0  done\n"
    "  1  a fault of the program\n"
    "  2  the input is wrong: one line on stderr says where, what and how to mend it\n"
    "  3  nothing that was asked for is feasible\n";

int run_help(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  for (const std::string& word : words) {
    const std::vector<const CLI::App*> known = commands_of(*command);
    const auto it = std::find_if(known.begin(), known.end(),
                                 [&](const CLI::App* c) { return c->get_name() == word; });
    if (it == known.end()) {
      std::vector<std::string> names;
      names.reserve(known.size());
      for (const CLI::App* c : known) {
        names.push_back(c->get_name());
      }
      const std::string_view near = nearest(word, names);
      throw InputError(fmt::format(
          "help: {} has no command \"{}\"{}", command_path(*command), word,
          near.empty() ? "; see foretoken help" : fmt::format(" (did you mean \"{}\"?)", near)));
    }
    command = *it;
  }
  const std::string text = manual(*command);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace

std::string command_path(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? "foretoken" : command_path(*parent) + " " + command.get_name();
}

std::string manual(const CLI::App& command) {
  const std::string path = command_path(command);
  const Page* page = page_of(path);
  std::string options, commands;
  for (const CLI::Option* option : options_of(command)) {
    options += option_text(*option);
  }
  for (const CLI::App* sub : commands_of(command)) {
    // The description hangs beside the name.
    const std::string text = filled(sub->get_description(), kNameColumn);
    commands +=
        fmt::format("  {:<{}}{}", sub->get_name(), kNameColumn - 2, text.substr(kNameColumn));
  }
  return section("NAME", filled(path + " - " + command.get_description(), 2)) +
         section("SYNOPSIS", filled(synopsis(command), 2)) +
         section("DESCRIPTION", page != nullptr ? filled(page->description, 2) : "") +
         section("COMMANDS", commands) + section("OPTIONS", options) +
         section("EXAMPLES", page != nullptr ? examples_text(*page) : "") +
         fmt::format("EXIT STATUS\n{}", kExitStatus) +
         (command.get_footer().empty() ? "" : "\n" + filled(command.get_footer(), 0));
}

void use_manual(CLI::App& app) {
  app.formatter_fn([](const CLI::App* command, const std::string&, CLI::AppFormatMode) {
    return manual(*command);
  });
}

void add_help(CLI::App& app, std::function<int()>& action) {
  auto* command = app.add_subcommand("help", "Help on a command");
  const auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("command", *words, "The command, such as: topology show")
      ->type_name("COMMAND...");
  command->callback(
      [&app, words, &action] { action = [&app, words] { return run_help(app, *words); }; });
}

}  // namespace foretoken::cli
