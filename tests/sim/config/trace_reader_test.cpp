#include "sim/config/trace_reader.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sim/core/error.h"

namespace foretoken::config {
namespace {

std::string refusal(const std::string& text) {
  try {
    parse_trace(text, "t.csv");
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Trace, Azures_own_timestamps_become_seconds_since_the_first_request) {
  const Trace trace = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 23:59:59.5000000,374,44\r\n"
      "2023-11-17 00:00:01.2500000,396,109\r\n",
      "t.csv");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_TRUE(trace.has_arrivals);
  EXPECT_EQ(trace.requests[0].arrival, kTimeZero);
  EXPECT_EQ(trace.requests[1].arrival, Time(1'750'000'000'000));  // 1.75 s over midnight
  EXPECT_EQ(trace.requests[1].output_tokens, 109);
}

TEST(Trace, Plain_files_with_and_without_times_comments_and_any_column_order) {
  const Trace timed = parse_trace(
      "# made by hand\noutput_tokens,arrival_s,input_tokens\n3,2.5,10\n4,1.5,20\n", "t.csv");
  EXPECT_EQ(timed.requests[0].input_tokens, 20);  // sorted by arrival, the first at zero
  EXPECT_EQ(timed.requests[1].arrival, Time(1'000'000'000'000));
  const Trace lengths =
      parse_trace("num_prefill_tokens,num_decode_tokens,pd_ratio\n7,8,0.9\n", "t.csv");
  EXPECT_FALSE(lengths.has_arrivals);
  EXPECT_EQ(lengths.requests[0].output_tokens, 8);
}

TEST(Trace, Mooncake_lines_are_milliseconds) {
  const Trace trace = parse_trace(
      "{\"timestamp\": 500, \"input_length\": 9, \"output_length\": 2, \"hash_ids\": [0]}\n"
      "{\"timestamp\": 1500, \"input_length\": 8, \"output_length\": 3, \"hash_ids\": []}\n",
      "t.jsonl");
  EXPECT_EQ(trace.requests[1].arrival, Time(1'000'000'000'000));
  EXPECT_EQ(trace.requests[1].input_tokens, 8);
}

TEST(Trace, A_broken_line_is_named) {
  EXPECT_EQ(refusal("input_tokens,output_tokens\n1,2\n3\n"),
            "t.csv:3: 1 columns where the header has 2; mend or remove the line");
  EXPECT_EQ(refusal("input_tokens,output_tokens\n1,-2\n"),
            "t.csv:2: output is \"-2\", not a number of tokens; mend or remove the line");
  EXPECT_EQ(refusal("arrival_s,input_tokens,output_tokens\nnan,1,2\n").substr(0, 8), "t.csv:2:");
  EXPECT_EQ(refusal("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-13-01 00:00:00,1,2\n"),
            "t.csv:2: timestamp \"2023-13-01 00:00:00\" is not like 2023-11-16 18:15:46.68");
  EXPECT_EQ(refusal("{\"timestamp\": 5, \"input_length\": 9}\n").substr(0, 8), "t.csv:1:");
  EXPECT_EQ(refusal("a,b\n1,2\n").substr(0, 28), "t.csv:1: not a trace header:");
  EXPECT_NE(refusal("").find("empty"), std::string::npos);
  EXPECT_NE(refusal("input_tokens,output_tokens\n").find("no requests"), std::string::npos);
}

TEST(Trace, Every_reference_trace_is_recognised) {
  const std::string folder = "../shared/reference/traces/";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << "reference traces are not beside the project";
  }
  EXPECT_EQ(read_trace(folder + "azure_llm_2023_conv.csv").requests.size(), 19366U);
  EXPECT_EQ(read_trace(folder + "azure_llm_2023_code.csv").requests.size(), 8819U);
  EXPECT_EQ(read_trace(folder + "mooncake_conversation.jsonl").requests.size(), 11523U);
  EXPECT_EQ(read_trace(folder + "mooncake_synthetic.jsonl").requests.size(), 3993U);
  EXPECT_EQ(read_trace(folder + "llmservingsim_sharegpt-qwen3-32b-300-sps10.csv").requests.size(),
            300U);
  EXPECT_FALSE(read_trace(folder + "vidur_arxiv_summarization.csv").has_arrivals);
}

}  // namespace
}  // namespace foretoken::config
