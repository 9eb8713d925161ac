// A real, slow wire on one machine: two network namespaces joined by a veth pair whose ends are
// paced with `tc tbf`. Needs root and the ip and tc programs.
#pragma once

#include <string>

namespace foretoken::kernels {

class PacedLink {
 public:
  // `rate` as tc takes it ("1gbit"); empty: not paced. Throws KernelError where the machine does
  // not allow it.
  explicit PacedLink(const std::string& rate);
  PacedLink(const PacedLink&) = delete;
  PacedLink& operator=(const PacedLink&) = delete;
  ~PacedLink();

  // Why a link cannot be made here; empty where it can be tried.
  static std::string obstacle();

  // Moves this process to an end, 0 or 1. Call it in a child.
  void enter(int end) const;
  std::string address(int end) const;

 private:
  std::string space(int end) const;
  void remove() const;

  int id_;
};

}  // namespace foretoken::kernels
