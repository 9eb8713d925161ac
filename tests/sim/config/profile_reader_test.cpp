#include "sim/config/profile_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "mutation.h"
#include "sim/config/sample_file.h"
#include "sim/core/error.h"
#include "sim/core/random.h"

namespace foretoken::config {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr const char* kShipped = "calibrate/profiles";

// A folder of its own for each test.
class ProfileFile : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string("foretoken-") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return (folder_ / name).string();
  }

  // The message for a profile with this body, without the folder.
  std::string refusal(const std::string& body) {
    const std::string path =
        write("p.yaml", "schema: 1\nname: p\nprovenance: derived\nsource: sheet\n" + body);
    return refusal_of(path);
  }

  std::string refusal_of(const std::string& path) {
    try {
      read_profile(path);
    } catch (const InputError& error) {
      std::string message = error.what();
      const std::string folder = folder_.string() + "/";
      for (auto at = message.find(folder); at != std::string::npos; at = message.find(folder)) {
        message.erase(at, folder.size());
      }
      return message;
    }
    return "accepted";
  }

  fs::path folder_;
};

void expect_equal(const Profile& a, const Profile& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.device, b.device);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.date, b.date);
  ASSERT_EQ(a.parameters.size(), b.parameters.size());
  for (const auto& [key, parameter] : a.parameters) {
    const Parameter& other = b.at(key);
    EXPECT_EQ(parameter.value, other.value) << key;  // the same double
    EXPECT_EQ(parameter.provenance, other.provenance) << key;
    EXPECT_EQ(parameter.source, other.source) << key;
  }
  ASSERT_EQ(a.samples.size(), b.samples.size());
  for (const auto& [key, table] : a.samples) {
    ASSERT_TRUE(b.samples.contains(key)) << key;
    const SampleTable& other = b.samples.find(key)->second;
    EXPECT_EQ(table.provenance, other.provenance);
    EXPECT_EQ(table.source, other.source);
    ASSERT_EQ(table.samples.size(), other.samples.size());
    for (std::size_t i = 0; i < table.samples.size(); ++i) {
      EXPECT_EQ(table.samples[i].shape, other.samples[i].shape);
      EXPECT_EQ(table.samples[i].seconds, other.samples[i].seconds);
    }
  }
}

// Every key of the table once, `*` filled in, with values that no short decimal hits.
Profile random_profile(std::uint64_t seed) {
  RandomStream random(seed, "profile");
  Profile profile;
  profile.name = "a: \"strange\" name #1";
  profile.device = "Xeon \u00fc, 2 cores";
  profile.fingerprint = "line one\nline two";
  profile.date = "2026-11-21";
  for (const ProfileKey& key : profile_keys()) {
    const bool link = key.pattern.starts_with("collective.*");
    const bool gemm = key.pattern.starts_with("gemm.*");
    const bool protocol = key.pattern.starts_with("collective.protocol.*");
    for (const std::string& element : link       ? std::vector<std::string>{"nvlink", "sys"}
                                      : gemm     ? std::vector<std::string>{"bf16", "w4a16/g128"}
                                      : protocol ? std::vector<std::string>{"ll", "ll128"}
                                                 : std::vector<std::string>{"int4/g32/spike"}) {
      std::string name(key.pattern);
      if (const auto star = name.find('*'); star != std::string::npos) {
        name.replace(star, 1, element);
      }
      const bool small = key.unit == Unit::fraction || key.unit == Unit::number;
      const double value = small ? random.uniform() : random.lognormal(0, 20);
      const auto provenance = static_cast<Provenance>(random.uniform_int(0, 4));
      profile.parameters[name] = {value, provenance, random.uniform() < 0.5 ? "one" : "two: x"};
    }
  }
  for (const std::string key : {"gemm.bf16", "gemm.w4a16/g128", "all_reduce.bf16"}) {
    SampleTable& table = profile.samples[key];
    table.provenance = Provenance::imported;
    table.source = "their table, with a comma";
    const std::size_t width = key.starts_with("gemm") ? 3 : 2;
    for (int i = 0; i < 20; ++i) {
      Sample sample;
      for (std::size_t j = 0; j < width; ++j) {
        sample.shape.push_back(random.uniform_int(1, 1 << 20));
      }
      sample.seconds = random.lognormal(-10, 3);
      table.samples.push_back(sample);
    }
  }
  return profile;
}

std::vector<std::string> shipped() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(kShipped)) {
    if (entry.path().extension() == ".yaml") {
      files.push_back(entry.path().string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

TEST_F(ProfileFile, What_is_written_reads_back_bit_for_bit) {
  for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
    SCOPED_TRACE(seed);
    const Profile profile = random_profile(seed);
    const std::string path = (folder_ / "random.yaml").string();
    save_profile(profile, path);
    expect_equal(profile, read_profile(path));
  }
}

TEST_F(ProfileFile, Reading_writes_nothing) {
  const std::string path = (folder_ / "random.yaml").string();
  save_profile(random_profile(1), path);
  const auto files = [&] {
    std::vector<std::pair<std::string, fs::file_time_type>> found;
    for (const auto& entry : fs::directory_iterator(folder_)) {
      found.emplace_back(entry.path().string(), entry.last_write_time());
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  const auto before = files();
  EXPECT_EQ(before.size(), 3u);  // YAML, gemm and all_reduce
  read_profile(path);
  EXPECT_EQ(files(), before);
}

TEST(ShippedProfiles, All_load_under_their_own_names_and_survive_a_round_trip) {
  const auto files = shipped();
  EXPECT_GE(files.size(), 20u);
  for (const std::string& file : files) {
    SCOPED_TRACE(file);
    const Profile profile = read_profile(file);
    EXPECT_EQ(profile.name, fs::path(file).stem().string());
    for (const auto& [key, parameter] : profile.parameters) {
      EXPECT_FALSE(parameter.source.empty()) << key;
    }
    const fs::path copy = fs::path(::testing::TempDir()) / "foretoken-shipped-copy.yaml";
    save_profile(profile, copy.string());
    expect_equal(profile, read_profile(copy.string()));
    fs::remove(copy);
  }
}

TEST(ShippedProfiles, Every_device_states_memory_and_a_bf16_peak) {
  for (const std::string& file : shipped()) {
    const Profile profile = read_profile(file);
    if (profile.device.empty()) {
      continue;  // only meant as a base
    }
    SCOPED_TRACE(file);
    EXPECT_GT(profile.at("device.memory").value, 1e9);
    EXPECT_GT(profile.at("device.memory_bandwidth").value, 1e9);
    EXPECT_TRUE(profile.find("gemm.bf16.peak") || profile.samples.contains("gemm.bf16"));
  }
}

// The columns of the reference table that profiles restate, for those GPUs that have a profile.
TEST(ShippedProfiles, Datasheet_numbers_agree_with_the_reference_table) {
  std::ifstream table("../shared/reference/hardware/gpus.csv");
  if (!table) {
    GTEST_SKIP() << "the reference table is not here";
  }
  std::map<std::string, Profile> by_device;
  for (const std::string& file : shipped()) {
    Profile profile = read_profile(file);
    by_device.emplace(profile.device, std::move(profile));
  }
  int compared = 0;
  for (std::string line; std::getline(table, line);) {
    std::vector<std::string> cells;
    std::stringstream stream(line);
    for (std::string cell; std::getline(stream, cell, ',');) {
      cells.push_back(cell);
    }
    if (cells.size() < 15 || !by_device.contains(cells[0])) {
      continue;
    }
    SCOPED_TRACE(cells[0]);
    const Profile& profile = by_device.at(cells[0]);
    const auto expect = [&](std::size_t column, const std::string& key, double unit) {
      if (!cells[column].empty()) {
        EXPECT_NEAR(profile.at(key).value, std::stod(cells[column]) * unit, 1e-6 * unit) << key;
      } else {
        EXPECT_EQ(profile.find(key), nullptr) << key;
      }
    };
    expect(3, "device.sms", 1);
    expect(4, "device.l2", 1e6);
    // Vendors' GB of memory are GiB; GDDR6 with ECC has 15/16 of them, B300's are decimal (0.931).
    const double gib = std::stod(cells[5]) * 1073741824.0;
    EXPECT_LE(profile.at("device.memory").value, gib);
    EXPECT_GE(profile.at("device.memory").value, 0.93 * gib);
    expect(7, "device.memory_bandwidth", 1e9);
    expect(8, "gemm.bf16.peak", 1e12);
    expect(9, "gemm.fp8.peak", 1e12);
    expect(10, "gemm.w8a8.peak", 1e12);
    expect(11, "gemm.fp4.peak", 1e12);
    expect(14, "device.power", 1);
    ++compared;
  }
  EXPECT_GE(compared, 19);
}

TEST_F(ProfileFile, Nested_and_dotted_keys_are_the_same_numbers) {
  const std::string path =
      write("p.yaml",
            "schema: 1\nname: p\nprovenance: derived\nsource: sheet\nparameters:\n"
            "  device: {memory: 80GB, l2: {value: 50MB, provenance: assumed, source: guess}}\n"
            "  gemm.bf16.peak: 989.4TFLOPS\n");
  const Profile profile = read_profile(path);
  EXPECT_EQ(profile.at("device.memory").value, 80e9);
  EXPECT_EQ(profile.at("device.memory").provenance, Provenance::derived);
  EXPECT_EQ(profile.at("device.memory").source, "sheet");
  EXPECT_EQ(profile.at("device.l2").provenance, Provenance::assumed);
  EXPECT_EQ(profile.at("device.l2").source, "guess");
  EXPECT_EQ(profile.at("gemm.bf16.peak").value, 989.4e12);
}

TEST_F(ProfileFile, A_base_lies_under_the_profile_that_names_it) {
  write("base.yaml",
        "schema: 1\nname: base\nprovenance: assumed\nsource: us\n"
        "parameters: {elementwise: {t0: 3us}, device: {memory: 1GB}}\n");
  const std::string path =
      write("p.yaml",
            "schema: 1\nname: p\ndevice: X\nbase: base\nprovenance: derived\nsource: sheet\n"
            "parameters: {device: {memory: 80GB}}\n");
  const Profile profile = read_profile(path);
  EXPECT_EQ(profile.name, "p");
  EXPECT_EQ(profile.at("device.memory").value, 80e9);
  EXPECT_EQ(profile.at("device.memory").provenance, Provenance::derived);
  EXPECT_EQ(profile.at("elementwise.t0").provenance, Provenance::assumed);
}

TEST_F(ProfileFile, Bases_that_are_missing_or_circular_are_refused) {
  EXPECT_EQ(refusal("base: p\n"), "p.yaml:5:7: base: p rests on itself; remove this base");
  EXPECT_EQ(refusal("base: gone\n"),
            "p.yaml:5:7: base: no file gone.yaml; a base stands in the same folder");
  write("q.yaml", "schema: 1\nname: q\nbase: p\nprovenance: assumed\nsource: us\n");
  EXPECT_EQ(refusal("base: q\n"), "q.yaml:3:7: base: p rests on itself; remove this base");
}

TEST_F(ProfileFile, Wrong_numbers_are_refused_with_place_and_remedy) {
  const auto parameter = [&](const std::string& text) {
    return refusal("parameters:\n  " + text + "\n");
  };
  EXPECT_EQ(parameter("devise: {memory: 80GB}"),
            "p.yaml:6:20: parameters.devise.memory: unknown number (did you mean "
            "\"device.memory\"?)");
  EXPECT_THAT(parameter("gemm: {bf16: {peek: 1TFLOPS}}"),
              HasSubstr("did you mean \"gemm.bf16.peak\"?"));
  EXPECT_THAT(parameter("gemm: {bf61: {peak: 1TFLOPS}}"), HasSubstr("is not a GEMM format"));
  EXPECT_THAT(parameter("collective: {nvlinc: {link_efficiency: 0.5}}"),
              HasSubstr("\"nvlinc\" is not a link class"));
  EXPECT_THAT(parameter("device: {memory: 80}"), HasSubstr("needs a unit"));
  EXPECT_THAT(parameter("device: {memory: 80GB/s}"), HasSubstr("unknown unit \"GB/s\""));
  EXPECT_THAT(parameter("device: {memory: nan}"), HasSubstr("not a finite number"));
  EXPECT_THAT(parameter("device: {memory: 0GB}"), HasSubstr("must be more than 0"));
  EXPECT_THAT(parameter("elementwise: {t0: -3us}"), HasSubstr("must be at least 0"));
  EXPECT_THAT(parameter("device: {bandwidth_efficiency: 85}"), HasSubstr("85"));
  EXPECT_THAT(parameter("device: {memory: {value: 80GB, sauce: x}}"),
              HasSubstr("did you mean \"source\"?"));
  EXPECT_THAT(parameter("device: {memory: {value: 80GB, provenance: guessed}}"),
              HasSubstr("guessed"));
  EXPECT_THAT(parameter("device: [1]"), HasSubstr("parameters.device"));
  EXPECT_THAT(parameter("device: {memory: 1GB}\n  device.memory: 1GB"),
              HasSubstr("parameters.device.memory: stated twice"));
}

TEST_F(ProfileFile, A_wrong_header_is_refused) {
  EXPECT_THAT(refusal_of(write("p.yaml", "schema: 9\nname: p\n")), HasSubstr("schema 9"));
  EXPECT_THAT(refusal_of(write("p.yaml", "schema: 1\nname: p\nsource: x\n")),
              HasSubstr("provenance: this key is required"));
  EXPECT_THAT(refusal("parametres: {}\n"), HasSubstr("did you mean \"parameters\"?"));
}

TEST_F(ProfileFile, One_sample_file_holds_several_formats) {
  write("s.csv",
        "# measured by us\nformat,m,n,k,seconds\nbf16,1,2,3,0.5\nw8a8,4,5,6,2.5e-06\r\n"
        "bf16,7,8,9,1e-3\n");
  const std::string head = "schema: 1\nname: p\nprovenance: measured\nsource: us\nsamples:\n";
  const Profile one = read_profile(write("p.yaml", head + "  gemm.bf16: s.csv\n"));
  ASSERT_EQ(one.samples.size(), 1u);
  const SampleTable& table = one.samples.at("gemm.bf16");
  ASSERT_EQ(table.samples.size(), 2u);
  EXPECT_EQ(table.samples[1].shape, (std::vector<std::int64_t>{7, 8, 9}));
  EXPECT_EQ(table.samples[1].seconds, 1e-3);
  EXPECT_EQ(table.provenance, Provenance::measured);
  const Profile all = read_profile(
      write("p.yaml", head + "  gemm: {file: s.csv, rows: 3, provenance: imported, source: o}\n"));
  EXPECT_EQ(all.samples.size(), 2u);
  EXPECT_EQ(all.samples.at("gemm.w8a8").samples[0].seconds, 2.5e-6);
  EXPECT_EQ(all.samples.at("gemm.w8a8").provenance, Provenance::imported);
}

TEST_F(ProfileFile, Broken_samples_are_refused_with_their_line) {
  const auto samples = [&](const std::string& rows) {
    write("s.csv", "format,m,n,k,seconds\n" + rows);
    return refusal("samples: {gemm.bf16: s.csv}\n");
  };
  EXPECT_EQ(
      samples("bf16,1,2,3,0.5\nbf16,1,2,3,nan\n"),
      "s.csv:3: seconds: \"nan\" is not a finite number of seconds (no unit here); measure this "
      "row again or remove it");
  EXPECT_THAT(samples("bf16,1,2,3,-0.5\n"), HasSubstr("s.csv:2: seconds: -0.5 is not positive"));
  EXPECT_THAT(samples("bf16,1,2,3,5us\n"), HasSubstr("\"5us\" is not a finite number"));
  EXPECT_THAT(samples("bf16,1,2,3,0.5\nbf16,1,2"),
              HasSubstr("s.csv:3: the last line is not ended"));
  EXPECT_EQ(
      samples("bf16,1,2,0.5\n"),
      "s.csv:2: k: \"0.5\" is not a positive whole number; measure this row again or remove it");
  EXPECT_THAT(samples("bf16,1,2,3\n"), HasSubstr("s.csv:2: too few columns; measure"));
  EXPECT_THAT(samples("bf16,1,2,3,0.5,6\n"), HasSubstr("s.csv:2: too many columns; measure"));
  EXPECT_THAT(samples("bf16,0,2,3,0.5\n"), HasSubstr("m: \"0\" is not a positive"));
  EXPECT_THAT(samples("w8a8,1,2,3,0.5\n"), HasSubstr("s.csv has no rows of this format"));
  write("s.csv", "m,n,k,seconds\n1,2,3,4\n");
  EXPECT_EQ(refusal("samples: {gemm.bf16: s.csv}\n"),
            "s.csv:1: the header of gemm samples is \"format,m,n,k,seconds\"; name the columns so, "
            "in these units");
  write("s.csv", "");
  EXPECT_THAT(refusal("samples: {gemm.bf16: s.csv}\n"), HasSubstr("s.csv:1: the header"));
}

TEST_F(ProfileFile, Missing_foreign_or_cut_sample_files_are_refused) {
  EXPECT_EQ(refusal("samples: {gemm.bf16: gone.csv}\n"),
            "p.yaml:5:22: samples.gemm.bf16: no file gone.csv; put it beside the profile or remove "
            "the entry");
  write("s.csv", "format,m,n,k,seconds\nbf16,1,2,3,0.5\n");
  EXPECT_THAT(refusal("samples: {gemm: {file: s.csv, rows: 2}}\n"),
              HasSubstr("has 1 rows, 2 were written"));
  EXPECT_THAT(refusal("samples: {gem.bf16: s.csv}\n"), HasSubstr("try gemm"));
  EXPECT_THAT(refusal("samples: {all_reduce.bf16: s.csv}\n"),
              HasSubstr("the header of all_reduce samples is \"format,ranks,bytes,seconds\""));
  EXPECT_THAT(refusal("samples: {gemm: s.csv, gemm.bf16: s.csv}\n"),
              HasSubstr("gemm.bf16 is stated twice"));
}

TEST_F(ProfileFile, Damaged_profiles_are_read_or_refused_in_one_line) {
  const std::string text = write_profile(random_profile(7), "s");
  write("s.gemm.csv", "format,m,n,k,seconds\n");
  const auto read = [&](const std::string& damaged) { read_profile(write("p.yaml", damaged)); };
  testing::survive_mutations(text, 1, 500, read);
  // Without samples, so that whole profiles get through as well.
  Profile bare = random_profile(8);
  bare.samples.clear();
  EXPECT_GT(testing::survive_mutations(write_profile(bare), 2, 500, read), 100);
  const std::string rows = "format,m,n,k,seconds\nbf16,1,2,3,0.5\nw4a16/g128,4,5,6,1e-6\n";
  const auto parse = [](const std::string& damaged) {
    parse_samples(damaged, *find_sample_family("gemm"), "s.csv");
  };
  EXPECT_GT(testing::survive_mutations(rows, 3, 3000, parse), 1000);
}

TEST_F(ProfileFile, Ten_thousand_rows_come_in_order) {
  std::string text = "format,m,n,k,seconds\n";
  for (int i = 1; i <= 10'000; ++i) {
    text += fmt::format("{},{},4096,4096,{}\n", i % 2 ? "bf16" : "fp8", i, i * 1e-7);
  }
  const SamplesByFormat samples = parse_samples(text, *find_sample_family("gemm"), "s.csv");
  ASSERT_EQ(samples.size(), 2u);
  ASSERT_EQ(samples.at("fp8").size(), 5000u);
  EXPECT_EQ(samples.at("fp8").back().shape[0], 10'000);
  EXPECT_EQ(samples.at("bf16")[1].seconds, 3 * 1e-7);
}

}  // namespace
}  // namespace foretoken::config
