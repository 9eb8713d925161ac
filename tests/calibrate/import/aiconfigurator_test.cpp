#include "calibrate/import/aiconfigurator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "calibrate/import/table.h"
#include "calibrate/import/table_commands.h"
#include "calibrate/import/vidur.h"
#include "sim/config/profile_reader.h"
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
  const std::string other = write("b.csv", "dtype,m,n,k,latency_us\nbfloat16,1,32,64,2.5\n");
  EXPECT_EQ(import_aiconfigurator_tables({file}).samples.size(), 1u);
  EXPECT_THROW(import_aiconfigurator_tables({file, other}), InputError);
  EXPECT_THROW(import_aiconfigurator_tables({file, file}), InputError);
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

TEST_F(ImportTest, Latent_attention_rows_are_decode_when_something_is_cached) {
  const std::string head = "mla_dtype,kv_dtype,num_heads,tp_size,batch,isl,step,latency_us\n";
  const auto rows = read_latent_attention_table(
      write("l.csv", head + "bfloat16,fp8,16,4,2,1024,0,50\nbfloat16,bfloat16,16,4,8,1,4095,20\n"));
  EXPECT_FALSE(rows[0].decode);
  EXPECT_EQ(rows[0].tokens, 1024);
  EXPECT_EQ(rows[0].kv_cache, kFp8);
  EXPECT_TRUE(rows[1].decode);
  EXPECT_EQ(rows[1].tokens, 4096);
  EXPECT_NE(refusal(head + "bfloat16,fp8,16,4,2,7,100,50\n", read_latent_attention_table)
                .find("bad.csv:2: isl: 7 new tokens over a cache"),
            std::string::npos);
}

constexpr const char* kMoeHead =
    "model,hidden,inter,topk,experts,dtype,moe_tp,moe_ep,distribution,num_tokens,latency_us\n";

TEST_F(ImportTest, Moe_rows_keep_shape_degrees_and_skew) {
  const auto rows = read_moe_table(
      write("m.csv",
            std::string(kMoeHead) + "mixtral,4096,14336,2,8,fp8_block,2,4,power_law_1.2,16,9\n"));
  EXPECT_EQ(rows[0].format, "fp8/g128");
  EXPECT_DOUBLE_EQ(rows[0].skew, 1.2);
  EXPECT_EQ(rows[0].tensor, 2);
  EXPECT_EQ(rows[0].expert, 4);
  EXPECT_NE(
      refusal(std::string(kMoeHead) + "x,4096,14336,2,8,fp8,1,1,gaussian,16,9\n", read_moe_table)
          .find("bad.csv:2: distribution"),
      std::string::npos);
  EXPECT_NE(
      refusal(std::string(kMoeHead) + "x,4096,14336,2,8,fp8,1,3,balanced,16,9\n", read_moe_table)
          .find("cannot be spread over 3"),
      std::string::npos);
}

TEST_F(ImportTest, Each_table_is_recognised_by_its_header) {
  const std::string attention = "attn_dtype,kv_dtype,head_dim,q_heads,kv_heads,window,batch,";
  const Profile profile = import_aiconfigurator_tables(
      {write("g.csv", "dtype,m,n,k,latency_us\nbfloat16,1,32,64,2.5\n"),
       write("c.csv", attention + "isl,latency_us\nbfloat16,fp8,128,32,8,0,2,1024,100\n"
                                  "fp8,fp8,128,32,8,0,2,1024,70\n"),
       write("d.csv", attention + "kv_len,latency_us\nbfloat16,bfloat16,64,32,8,128,4,1000,20\n"),
       write("l.csv",
             "mla_dtype,kv_dtype,num_heads,tp_size,batch,isl,step,latency_us\n"
             "bfloat16,bfloat16,16,4,8,1,4095,20\n"),
       write("m.csv", std::string(kMoeHead) + "x,4096,14336,2,8,bfloat16,2,4,power_law_1.2,16,9\n"),
       write("q1.csv", "dtype,m,k,latency_us\nfp8,16,4096,3\n"),
       write("q2.csv", "dtype,m,k,latency_us\nfp8,16,4096,4\n"),
       write("n.csv",
             "system,nccl_version,op,dtype,num_gpus,elements,bytes,latency_us\n"
             "h100_sxm,2.27,alltoall,half,8,256,512,9\na100_sxm,2.27,alltoall,half,8,256,"
             "512,19\n")},
      {"h100_sxm", ""});
  EXPECT_EQ(profile.samples.size(), 7u);
  EXPECT_EQ(profile.samples.at("attention.prefill.fp8").samples.size(), 1u);
  // The cached tokens as stated, before the window cuts them.
  EXPECT_EQ(profile.samples.at("attention.decode.bf16").samples[0].shape.back(), 1000);
  EXPECT_EQ(profile.samples.at("latent_attention.decode.bf16").samples[0].shape,
            (std::vector<std::int64_t>{16, 8, 4096}));
  EXPECT_EQ(profile.samples.at("moe.bf16").samples[0].shape,
            (std::vector<std::int64_t>{4096, 14336, 8, 2, 2, 4, 120, 16}));
  EXPECT_NEAR(profile.samples.at("quantise.fp8").samples[0].seconds, 7e-6, 1e-12);
  EXPECT_NEAR(profile.samples.at("all_to_all.bf16").samples[0].seconds, 9e-6, 1e-12);
  for (const auto& [name, table] : profile.samples) {
    EXPECT_EQ(table.provenance, Provenance::imported) << name;
    EXPECT_FALSE(table.source.empty()) << name;
  }
}

TEST_F(ImportTest, An_imported_profile_reads_back_as_it_was_written) {
  const Profile profile = import_aiconfigurator_tables(
      {write("c.csv",
             "attn_dtype,kv_dtype,head_dim,q_heads,kv_heads,window,batch,isl,latency_us\n"
             "bfloat16,bfloat16,128,32,8,0,2,1024,100\n"),
       write("q.csv", "dtype,m,k,latency_us\nfp8,16,4096,3\n")});
  const std::string path = write("p.yaml", "");
  config::save_profile(profile, path);
  const Profile again = config::read_profile(path);
  ASSERT_EQ(again.samples.size(), 2u);
  const SampleTable& prefill = again.samples.at("attention.prefill.bf16");
  EXPECT_EQ(prefill.samples[0].shape, (std::vector<std::int64_t>{32, 8, 128, 0, 2, 1024}));
  EXPECT_EQ(prefill.provenance, Provenance::imported);
}

TEST_F(ImportTest, Tables_of_several_machines_need_a_choice) {
  const std::string file =
      write("n.csv",
            "system,nccl_version,op,dtype,num_gpus,elements,bytes,latency_us\n"
            "h100_sxm,2.27,all_reduce,half,8,256,512,9\na100_sxm,2.27,all_reduce,half,8,256,"
            "512,19\n");
  EXPECT_THROW(import_aiconfigurator_tables({file}), InputError);
  EXPECT_THROW(import_aiconfigurator_tables({file}, {"b300", ""}), InputError);
  EXPECT_THROW(import_aiconfigurator_tables({write("x.csv", "a,b\n1,2\n")}), InputError);
}

constexpr const char* kVidurTop =
    "# source: vidur@1 ; n_head=64 n_kv_head=8 n_embd=8192 n_expanded_embd=28672 gated=True\n";

TEST_F(ImportTest, Vidur_layers_become_gemms_and_passes_of_one_rank) {
  const auto tables = read_vidur_layers(write(
      "v.csv", std::string(kVidurTop) + "tp,num_tokens,emb_ms,attn_pre_proj_ms,mlp_up_proj_ms,"
                                        "mlp_act_ms\n8,16,0.002,0.02,0.05,0.006\n"));
  const auto& gemm = tables.at("gemm.bf16").samples;
  ASSERT_EQ(gemm.size(), 2u);
  EXPECT_EQ(gemm[0].shape, (std::vector<std::int64_t>{16, 1280, 8192}));
  EXPECT_EQ(gemm[1].shape, (std::vector<std::int64_t>{16, 7168, 8192}));
  EXPECT_DOUBLE_EQ(gemm[0].seconds, 2e-5);
  // 8 query and 2 key and value heads of 128; gate and up of 28672 / 8.
  // Reads gate and up, writes their product: 3 x 3584 values of two bytes for each token.
  EXPECT_EQ(tables.at("elementwise.silu_mul").samples[0].shape[0], 16 * 3 * 3584 * 2);
  EXPECT_NE(refusal("tp,num_tokens,emb_ms\n1,1,1\n", read_vidur_layers).find("n_head"),
            std::string::npos);
  EXPECT_NE(refusal(std::string(kVidurTop) + "tp,num_tokens,mlp_up_proj_ms\n1,4096,0.001\n",
                    read_vidur_layers)
                .find("bad.csv:3: mlp_up_proj_ms"),
            std::string::npos);
}

TEST_F(ImportTest, Vidur_messages_must_count_bytes) {
  const std::string head =
      "op,num_workers,devices_per_node,max_devices_per_node,size_raw,rank,min_ms,max_ms,mean_ms,"
      "median_ms,std_ms\n";
  const auto tables = read_vidur_network(
      write("n.csv", head + "all_reduce,8,8,8,67108864,0,0.3,0.4,0.33,0.322,0\n"
                            "all_reduce,8,4,8,67108864,0,0.3,0.4,0.33,3.22,0\n"));
  const SampleTable& table = tables.at("all_reduce.bf16");
  ASSERT_EQ(table.samples.size(), 1u);
  EXPECT_NEAR(table.samples[0].seconds, 322e-6, 1e-12);
  EXPECT_NE(table.source.find("1 rows across nodes left out"), std::string::npos);
  // Microseconds taken for milliseconds the other way round: 365 TB/s.
  EXPECT_NE(refusal(head + "all_reduce,8,8,8,67108864,0,0,0,0,0.000322,0\n", read_vidur_network)
                .find("bad.csv:2: size_raw"),
            std::string::npos);
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
  for (const auto& entry : fs::directory_iterator(root / "moe")) {
    EXPECT_FALSE(read_moe_table(entry.path().string()).empty()) << entry.path();
  }
  EXPECT_EQ(read_latent_attention_table(
                (root / "attention/mla_context_h100_sxm_trtllm_1.3.0rc20.csv").string())
                .size(),
            1760u);
  for (const auto& entry : fs::directory_iterator(root / "vidur")) {
    EXPECT_FALSE(import_vidur_tables({entry.path().string()}).samples.empty()) << entry.path();
  }
}

}  // namespace
}  // namespace foretoken::importer
