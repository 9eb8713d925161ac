// Max-min fair sharing as pure arithmetic: links with capacities, flows with the links they use and
// an optional cap each, to rates. Progressive filling (Bertsekas and Gallager, Data
// Networks, 6.5.2): the link with the smallest equal share fixes its flows, and so on.
//
// The result does not depend on the order of the flows, to the last bit: what a round takes from a
// link is (flows fixed) x (share), and ties between links go to the smaller index.
#pragma once

#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace foretoken {

inline constexpr double kUncapped = std::numeric_limits<double>::infinity();

// Flow f uses links[first[f]] .. links[first[f + 1] - 1], no link twice.
struct MaxMinProblem {
  std::vector<double> capacity;     // by link, > 0
  std::vector<std::int32_t> first;  // flows + 1 entries
  std::vector<std::int32_t> links;
  std::vector<double> cap;  // by flow; kUncapped: none. May be empty: no flow is capped

  std::size_t flows() const { return first.empty() ? 0 : first.size() - 1; }
  void clear();
  void add_flow(const std::int32_t* begin, const std::int32_t* end, double flow_cap);
};

// Keeps its working memory between calls.
class MaxMinSolver {
 public:
  // `rate` gets one entry per flow. A flow without links gets its cap.
  void solve(const MaxMinProblem& problem, std::vector<double>& rate);

 private:
  struct Link {
    double remaining;
    std::int32_t unfixed;
    std::int32_t first_flow;  // in flows_of_link_
    std::int32_t fixed_now;   // flows fixed in this round
  };
  using Share = std::pair<double, std::int32_t>;  // (share, link)

  void index_links(const MaxMinProblem& problem);
  void fix(const MaxMinProblem& problem, std::int32_t flow, double share,
           std::vector<double>& rate);
  void settle(double share);
  bool refresh_top();

  std::vector<Link> links_;
  std::vector<std::int32_t> flows_of_link_;
  std::vector<char> fixed_;
  std::vector<std::int32_t> touched_;
  std::vector<Share>
      heap_;  // smallest first; a share in it is never more than the link's share now
  std::vector<std::pair<double, std::int32_t>> caps_;  // of capped flows, ascending
};

}  // namespace foretoken
