// What every published table of measurements must name beside its numbers.
#pragma once

#include <string>

namespace foretoken::kernels {

// "Intel(R) Xeon(R) Processor, 2 processors, second-level cache 2 MiB, 2026-11-22, commit 1a2b3c4".
// The commit is that of the working directory, "unknown" outside a repository.
std::string cpu_report_line();

std::string today();   // "2026-11-22", UTC
std::string commit();  // "1a2b3c4", with "-dirty" where tracked files differ

}  // namespace foretoken::kernels
