// The tables that codec_bench prints, as Markdown.
#pragma once

#include <string>

namespace foretoken::kernels {

// This processor's codec against the scalar reference, memcpy and memset.
void print_cpu_table();

// The CUDA codec against a device copy and an empty kernel. One line where there is no device, or
// where this program was built without CUDA.
void print_cuda_table();
void register_cuda_rows();  // with Google Benchmark; nothing without a device
bool print_cuda_device();   // one line; false where there is none

// Of the sample distributions, or of the tensor `name` in a .npy or .safetensors file.
void print_error_tables(const std::string& file, const std::string& name);

}  // namespace foretoken::kernels
