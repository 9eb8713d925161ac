// A block of bytes on a 64-byte boundary (one cache line, one AMX row), zero at first. Blocks of
// two MiB and more ask for huge pages: a GEMM walks its weights once, and 4 KiB pages would cost a
// TLB miss for every four tiles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace foretoken::kernels {

class PageBuffer {
 public:
  PageBuffer() = default;
  explicit PageBuffer(std::size_t bytes);
  // Somebody else's bytes, which outlive this buffer; 64-byte aligned. They stay as they are.
  static PageBuffer borrow(std::uint8_t* bytes, std::size_t size);

  std::size_t size() const { return size_; }
  template <typename T = std::uint8_t>
  T* as() {
    return reinterpret_cast<T*>(data_.get());
  }
  template <typename T = std::uint8_t>
  const T* as() const {
    return reinterpret_cast<const T*>(data_.get());
  }
  // Grows (contents lost) when smaller than `bytes`; never shrinks. For scratch memory.
  void reserve(std::size_t bytes);

 private:
  struct Free {
    Free() : owned(true) {}
    explicit Free(bool owns) : owned(owns) {}
    bool owned;
    void operator()(std::uint8_t* memory) const;
  };
  std::unique_ptr<std::uint8_t, Free> data_;
  std::size_t size_ = 0;
};

}  // namespace foretoken::kernels
