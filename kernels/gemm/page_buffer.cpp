#include "kernels/gemm/page_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace foretoken::kernels {
namespace {
constexpr std::size_t kHugePage = std::size_t{2} << 20;
}

PageBuffer::PageBuffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) {
    return;
  }
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
  const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded);
  if (memory == nullptr) {
    throw std::bad_alloc();
  }
  if (alignment == kHugePage) {
    madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: nothing depends on it but speed
  }
  std::memset(memory, 0, rounded);
  data_.reset(static_cast<std::uint8_t*>(memory));
}

void PageBuffer::reserve(std::size_t bytes) {
  if (bytes > size_) {
    *this = PageBuffer(bytes);
  }
}

PageBuffer PageBuffer::borrow(std::uint8_t* bytes, std::size_t size) {
  PageBuffer buffer;
  buffer.data_ = {bytes, Free{false}};
  buffer.size_ = size;
  return buffer;
}

void PageBuffer::Free::operator()(std::uint8_t* memory) const {
  if (owned) {
    std::free(memory);
  }
}

}  // namespace foretoken::kernels
