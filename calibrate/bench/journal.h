// Finished passes on disk, one line each, written as soon as they are there: what a run that was
// killed, interrupted or ran out of space had measured is where the next one goes on.
//
//   foretoken calibration journal, schema 2
//   <fingerprint of the machine and the build>
//   family,shape,pass,seconds,least,p90,samples,sentinel,cores
//   gemm.bf16,16x768x768,0,5.4e-05,5.3e-05,5.8e-05,7,4.1e-05,1
#pragma once

#include <string>
#include <vector>

#include "calibrate/bench/bench_case.h"

namespace foretoken::calibrate {

class Journal {
 public:
  // Opens or makes the file and reads what it holds. A last line without an end is cut off: its
  // writer was killed. Throws InputError with file, line and remedy when the file cannot be
  // written, belongs to another machine, build or running process, or holds a line that no journal
  // has.
  Journal(const std::string& path, const std::string& fingerprint);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  const std::vector<PassResult>& results() const { return results_; }
  const std::string& path() const { return path_; }

  // On disk when this returns, up to the last second's in the system's hands. Throws InputError
  // when there is no space; the file then ends with the last whole line.
  void append(const PassResult& result);
  void flush();   // all of it on the disk
  void remove();  // the profile holds everything now

 private:
  void read(const std::string& fingerprint);
  void write(const std::string& text);

  std::string path_;
  int descriptor_ = -1;
  std::vector<PassResult> results_;
  double last_flush_ = 0;
};

}  // namespace foretoken::calibrate
