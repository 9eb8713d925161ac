#include "sim/network/max_min.h"

#include <algorithm>
#include <array>
#include <functional>

#include "sim/core/units.h"

namespace foretoken {

void MaxMinProblem::clear() {
  capacity.clear();
  first.assign(1, 0);
  links.clear();
  cap.clear();
  id.clear();
  first_of_link.clear();
  flows_of_link.clear();
}

void MaxMinProblem::add_flow(const std::int32_t* begin, const std::int32_t* end, double flow_cap) {
  if (first.empty()) {
    first.push_back(0);
  }
  links.insert(links.end(), begin, end);
  first.push_back(static_cast<std::int32_t>(links.size()));
  cap.push_back(flow_cap);
}

void MaxMinSolver::index_links(const MaxMinProblem& problem) {
  if (!problem.first_of_link.empty()) {
    first_of_link_ = problem.first_of_link.data();
    flows_of_link_ = problem.flows_of_link.data();
    return;
  }
  std::vector<std::int32_t>& first = own_first_of_link_;
  first.assign(problem.capacity.size() + 2, 0);
  for (const std::int32_t l : problem.links) {
    ++first[l + 2];
  }
  for (std::size_t i = 2; i < first.size(); ++i) {
    first[i] += first[i - 1];
  }
  // first[l + 1] is where the next flow of l goes, and so ends as the end of l.
  own_flows_of_link_.resize(problem.links.size());
  const auto flow_count = static_cast<std::int32_t>(problem.flows());
  for (std::int32_t f = 0; f < flow_count; ++f) {
    for (std::int32_t i = problem.first[f]; i < problem.first[f + 1]; ++i) {
      own_flows_of_link_[first[problem.links[i] + 1]++] = f;
    }
  }
  first_of_link_ = first.data();
  flows_of_link_ = own_flows_of_link_.data();
}

void MaxMinSolver::sort_caps(const MaxMinProblem& problem, std::vector<double>& rate) {
  caps_.clear();
  next_cap_ = 0;
  for (std::size_t f = 0; f < problem.cap.size(); ++f) {
    if (problem.first[f] == problem.first[f + 1]) {
      rate[f] = problem.cap[f];
      fixed_[f] = 1;
    } else if (problem.cap[f] < kUncapped && fixed_[f] == 0) {
      caps_.emplace_back(problem.cap[f], static_cast<std::int32_t>(f));
    }
  }
  std::sort(caps_.begin(), caps_.end());
}

void MaxMinSolver::count_users(const MaxMinProblem& problem, const std::vector<char>* gone) {
  const std::size_t link_count = problem.capacity.size();
  links_.resize(link_count);
  for (std::size_t l = 0; l < link_count; ++l) {
    links_[l] = {problem.capacity[l], first_of_link_[l + 1] - first_of_link_[l], 0};
  }
  if (gone == nullptr) {
    return;
  }
  for (std::size_t f = 0; f < gone->size(); ++f) {
    if ((*gone)[f] != 0) {
      for (std::int32_t i = problem.first[f]; i < problem.first[f + 1]; ++i) {
        --links_[problem.links[i]].unfixed;
      }
    }
  }
}

void MaxMinSolver::start(const MaxMinProblem& problem, std::vector<double>& rate,
                         const std::vector<char>* gone) {
  const std::size_t flow_count = problem.flows();
  const std::size_t link_count = problem.capacity.size();
  rate.resize(flow_count);
  if (gone == nullptr) {
    fixed_.assign(flow_count, 0);
  } else {
    fixed_ = *gone;
  }
  sort_caps(problem, rate);
  index_links(problem);
  ids_ = problem.id.empty() ? nullptr : problem.id.data();
  count_users(problem, gone);
  share_.assign(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(link_count), kLanes)),
                kUncapped);
  for (std::size_t l = 0; l < link_count; ++l) {
    if (links_[l].unfixed > 0) {
      share_[l] = links_[l].remaining / links_[l].unfixed;
    }
  }
  use_heap_ = link_count > kScanned;
  heap_.clear();
  if (use_heap_) {
    for (std::size_t l = 0; l < link_count; ++l) {
      const auto link = static_cast<std::int32_t>(l);
      heap_.push_back({share_[l], id_of(link), link});
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
  }
}

std::int32_t MaxMinSolver::tightest() {
  if (use_heap_) {
    return tightest_by_heap();
  }
  // Lanes of their own, so that a compiler can use vector instructions without reordering anything.
  std::array<double, kLanes> lanes;
  lanes.fill(kUncapped);
  for (std::size_t l = 0; l < share_.size(); l += kLanes) {
    for (std::size_t k = 0; k < kLanes; ++k) {
      lanes[k] = share_[l + k] < lanes[k] ? share_[l + k] : lanes[k];
    }
  }
  const double best = *std::min_element(lanes.begin(), lanes.end());
  if (best == kUncapped) {
    return -1;
  }
  std::int32_t link = -1;
  for (std::size_t l = 0; l < links_.size(); ++l) {
    const auto candidate = static_cast<std::int32_t>(l);
    if (share_[l] == best && (link < 0 || id_of(candidate) < id_of(link))) {
      link = candidate;
    }
  }
  return link;
}

// Shares only grow as flows are fixed, so an outdated entry is too small at worst: it is put back
// with the share of now.
std::int32_t MaxMinSolver::tightest_by_heap() {
  while (!heap_.empty()) {
    const Share top = heap_.front();
    const double now = share_[top.link];
    if (now <= top.share && now < kUncapped) {
      return top.link;
    }
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    if (now == kUncapped) {
      heap_.pop_back();
    } else {
      heap_.back().share = now;
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
  }
  return -1;
}

void MaxMinSolver::fix(const MaxMinProblem& problem, std::int32_t flow, double share,
                       std::vector<double>& rate) {
  rate[flow] = share;
  fixed_[flow] = 1;
  for (std::int32_t i = problem.first[flow]; i < problem.first[flow + 1]; ++i) {
    const std::int32_t l = problem.links[i];
    if (links_[l].fixed_now++ == 0) {
      touched_.push_back(l);
    }
  }
}

void MaxMinSolver::fix_flows_of(const MaxMinProblem& problem, std::int32_t link, double share,
                                std::vector<double>& rate) {
  for (std::int32_t i = first_of_link_[link]; i < first_of_link_[link + 1]; ++i) {
    if (fixed_[flows_of_link_[i]] == 0) {
      fix(problem, flows_of_link_[i], share, rate);
    }
  }
}

// Takes what the round fixed from the links.
void MaxMinSolver::settle(double share) {
  for (const std::int32_t l : touched_) {
    Link& link = links_[l];
    link.remaining -= link.fixed_now * share;
    link.unfixed -= link.fixed_now;
    link.fixed_now = 0;
    share_[l] = link.unfixed == 0 ? kUncapped : link.remaining / link.unfixed;
  }
  touched_.clear();
}

void MaxMinSolver::solve(const MaxMinProblem& problem, std::vector<double>& rate,
                         const std::vector<char>* gone) {
  start(problem, rate, gone);
  for (std::int32_t link = tightest(); link >= 0; link = tightest()) {
    const double share = share_[link];
    while (next_cap_ < caps_.size() && fixed_[caps_[next_cap_].second] != 0) {
      ++next_cap_;
    }
    if (next_cap_ < caps_.size() && caps_[next_cap_].first <= share) {
      const auto [cap, flow] = caps_[next_cap_++];
      fix(problem, flow, cap, rate);
      settle(cap);
    } else {
      fix_flows_of(problem, link, share, rate);
      settle(share);
    }
  }
}

}  // namespace foretoken
