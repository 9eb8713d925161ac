#include "calibrate/import/aiconfigurator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "calibrate/import/table.h"
#include "calibrate/import/table_commands.h"
#include "sim/core/error.h"

namespace foretoken::importer {
namespace {

namespace fs = std::filesystem;

class ImportTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const fs::path folder =
        fs::temp_directory_path() / ("foretoken_import_test_" + std::to_string(getpid()));
    fs::create_directories(folder);
    const fs::path path = folder / name;
    std::ofstream(path) << text;
    return path.string();
  }
  void TearDown() override {
    fs::remove_all(fs::temp_directory_path() /
                   ("foretoken_import_test_" + std::to_string(getpid())));
  }
  // The message of the InputError that reading the text must give.
  template <class Read>
  std::string refusal(const std::string& text, Read read) {
    try {
      read(write("bad.csv", text));
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ImportTest, Gemm_rows_become_samples_in_seconds_with_their_source) {
  const auto tables = read_gemm_table(write("a.csv",
                                            "# source: who/what@1234 ; licence\n"
                                            "dtype,m,n,k,latency_us\n"
                                            "bfloat16,1,32,64,2.5\n"
                                            "int4_wo,16,128,256,10\n"
                                            "fp8_block,16,128,256,4\n"));
  ASSERT_EQ(tables.size(), 3u);
  const SampleTable& bf16 = tables.at("gemm.bf16");
  EXPECT_EQ(bf16.provenance, Provenance::imported);
  EXPECT_EQ(bf16.source, "who/what@1234 ; licence");
  EXPECT_EQ(bf16.samples[0].shape, (std::vector<std::int64_t>{1, 32, 64}));
  EXPECT_DOUBLE_EQ(bf16.samples[0].seconds, 2.5e-6);
  EXPECT_TRUE(tables.contains("gemm.w4a16"));
  EXPECT_TRUE(tables.contains("gemm.fp8/g128"));
}

TEST_F(ImportTest, The_same_table_in_two_files_is_refused) {
  const std::string file = write("a.csv", "dtype,m,n,k,latency_us\nbfloat16,1,32,64,2.5\n");
  EXPECT_EQ(import_gemm_tables({file}).samples.size(), 1u);
  EXPECT_THROW(import_gemm_tables({file, file}), InputError);
}

TEST_F(ImportTest, Context_and_generation_rows_are_told_apart_by_their_header) {
  const std::string head = "attn_dtype,kv_dtype,head_dim,q_heads,kv_heads,window,batch,";
  const auto context = read_attention_table(
      write("c.csv", head + "isl,latency_us\nbfloat16,fp8,128,32,8,0,2,1024,100\n"));
  ASSERT_EQ(context.size(), 1u);
  EXPECT_FALSE(context[0].op.decode);
  EXPECT_EQ(context[0].op.chunks.size(), 2u);
  EXPECT_EQ(context[0].op.chunks[1].new_tokens, 1024);
  EXPECT_EQ(context[0].op.kv_cache, kFp8);
  const auto generation = read_attention_table(
      write("g.csv", head + "kv_len,latency_us\nbfloat16,bfloat16,64,32,8,128,4,1000,20\n"));
  EXPECT_TRUE(generation[0].op.decode);
  EXPECT_EQ(generation[0].op.sequences, 4);
  EXPECT_EQ(generation[0].op.kv_tokens, 4 * 128);  // each cut to the window
}

TEST_F(ImportTest, Collective_sizes_must_be_bytes) {
  const std::string head = "system,nccl_version,op,dtype,num_gpus,elements,bytes,latency_us\n";
  const auto rows =
      read_collective_table(write("n.csv", head + "h100_sxm,2.27,all_reduce,half,8,256,512,9\n"));
  EXPECT_EQ(rows[0].bytes, 512);
  EXPECT_EQ(rows[0].ranks, 8);
  const std::string message =
      refusal(head +
                  "h100_sxm,2.27,all_reduce,half,8,256,512,9\nh100_sxm,2.27,all_reduce,half,8,"
                  "256,256,9\n",
              read_collective_table);
  EXPECT_NE(message.find("bad.csv:3: bytes"), std::string::npos) << message;
}

TEST_F(ImportTest, Wrong_files_are_refused_with_file_and_line) {
  const std::string head = "dtype,m,n,k,latency_us\n";
  EXPECT_NE(refusal("a,b\n1,2\n", read_gemm_table).find("expected the columns dtype,m,n,k"),
            std::string::npos);
  EXPECT_NE(refusal("", read_gemm_table).find("no header"), std::string::npos);
  EXPECT_NE(refusal(head + "bfloat16,1,2\n", read_gemm_table).find("bad.csv:2"), std::string::npos);
  EXPECT_NE(refusal(head + "bfloat16,1,2,3,nan\n", read_gemm_table).find("bad.csv:2: latency_us"),
            std::string::npos);
  EXPECT_NE(refusal(head + "bfloat16,1,2,3,-4\n", read_gemm_table).find("not a positive number"),
            std::string::npos);
  EXPECT_NE(refusal(head + "int9,1,2,3,4\n", read_gemm_table).find("unknown GEMM type"),
            std::string::npos);
  EXPECT_THROW(read_gemm_table("no/such/file.csv"), InputError);
}

TEST_F(ImportTest, A_parquet_file_gets_the_line_that_converts_it) {
  try {
    read_gemm_table("gemm_perf.parquet");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find("pyarrow"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("gemm_perf.csv"), std::string::npos);
  }
}

TEST_F(ImportTest, The_public_tables_read_completely) {
  const fs::path root = "../shared/reference/ops";
  if (!fs::exists(root)) {
    GTEST_SKIP() << root << " is absent";
  }
  for (const auto& entry : fs::directory_iterator(root / "gemm")) {
    EXPECT_FALSE(read_gemm_table(entry.path().string()).empty()) << entry.path();
  }
  EXPECT_EQ(read_gemm_table((root / "gemm/h100_sxm_trtllm_1.3.0rc20.csv").string())
                .at("gemm.bf16")
                .samples.size(),
            32520u);
  EXPECT_EQ(
      read_attention_table((root / "attention/generation_h100_sxm_trtllm_1.3.0rc20.csv").string())
          .size(),
      12724u);
  EXPECT_EQ(read_collective_table((root / "comm/nccl_single_node.csv").string()).size(), 3360u);
}

}  // namespace
}  // namespace foretoken::importer
