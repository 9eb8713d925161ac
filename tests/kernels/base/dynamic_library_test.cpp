#include "kernels/base/dynamic_library.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace foretoken::kernels {
namespace {

TEST(DynamicLibrary, Opens_the_first_name_that_exists_and_calls_through_it) {
  const DynamicLibrary library("the maths library", {"libno-such-thing.so.1", "libm.so.6"});
  EXPECT_EQ(library.name(), "libm.so.6");
  EXPECT_EQ(library.symbol<double(double)>("sqrt")(9.0), 3.0);
}

TEST(DynamicLibrary, A_missing_library_gives_one_plain_line) {
  try {
    const DynamicLibrary library("NCCL", {"libno-such-thing.so.1"});
    FAIL();
  } catch (const KernelError& e) {
    EXPECT_STREQ(e.what(),
                 "NCCL is not available: none of libno-such-thing.so.1 could be loaded (install it "
                 "or set LD_LIBRARY_PATH)");
  }
}

TEST(DynamicLibrary, A_missing_symbol_names_itself) {
  const DynamicLibrary library("the maths library", {"libm.so.6"});
  EXPECT_THROW(library.symbol<void()>("no_such_function_at_all"), KernelError);
}

}  // namespace
}  // namespace foretoken::kernels
