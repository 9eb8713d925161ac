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
  // Optional, for callers that have it at hand: names of the links, which decide ties in place of
  // the index, and the same incidence by link (links + 1 entries in first_of_link).
  std::vector<std::int32_t> id;
  std::vector<std::int32_t> first_of_link;
  std::vector<std::int32_t> flows_of_link;

  std::size_t flows() const { return first.empty() ? 0 : first.size() - 1; }
  void clear();
  void add_flow(const std::int32_t* begin, const std::int32_t* end, double flow_cap);
};

// Keeps its working memory between calls.
class MaxMinSolver {
 public:
  // `rate` gets one entry per flow. A flow without links gets its cap. `gone`, if given, has one
  // entry per flow: what is not 0 takes no part, and its rate is left as it is.
  void solve(const MaxMinProblem& problem, std::vector<double>& rate,
             const std::vector<char>* gone = nullptr);

 private:
  // Up to so many links the smallest share is found by looking at all of them, beyond by a heap.
  static constexpr std::size_t kScanned = 256;
  static constexpr std::size_t kLanes = 8;
  struct Link {
    double remaining;
    std::int32_t unfixed;
    std::int32_t fixed_now;  // flows fixed in this round
  };
  struct Share {
    double share;
    std::int32_t id;
    std::int32_t link;
    bool operator>(const Share& o) const { return share != o.share ? share > o.share : id > o.id; }
  };

  void start(const MaxMinProblem& problem, std::vector<double>& rate,
             const std::vector<char>* gone);
  void count_users(const MaxMinProblem& problem, const std::vector<char>* gone);
  void index_links(const MaxMinProblem& problem);
  void sort_caps(const MaxMinProblem& problem, std::vector<double>& rate);
  std::int32_t id_of(std::int32_t link) const { return ids_ == nullptr ? link : ids_[link]; }
  // The link with the smallest share now; -1 when no unfixed flow is left on any.
  std::int32_t tightest();
  std::int32_t tightest_by_heap();
  void fix_flows_of(const MaxMinProblem& problem, std::int32_t link, double share,
                    std::vector<double>& rate);
  void fix(const MaxMinProblem& problem, std::int32_t flow, double share,
           std::vector<double>& rate);
  void settle(double share);

  const std::int32_t* ids_ = nullptr;
  const std::int32_t* first_of_link_ = nullptr;
  const std::int32_t* flows_of_link_ = nullptr;
  std::vector<std::int32_t> own_first_of_link_;
  std::vector<std::int32_t> own_flows_of_link_;
  std::vector<Link> links_;
  std::vector<double> share_;  // by link, now; infinite when no flow is left. Padded to kLanes
  std::vector<char> fixed_;
  std::vector<std::int32_t> touched_;
  bool use_heap_ = false;
  std::vector<Share>
      heap_;  // smallest first; a share in it is never more than the link's share now
  std::vector<std::pair<double, std::int32_t>> caps_;  // of capped flows, ascending
  std::size_t next_cap_ = 0;
};

}  // namespace foretoken
