#include "sim/network/max_min.h"

#include <algorithm>
#include <functional>

namespace foretoken {

void MaxMinProblem::clear() {
  capacity.clear();
  first.assign(1, 0);
  links.clear();
  cap.clear();
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
  const std::size_t link_count = problem.capacity.size();
  links_.resize(link_count);
  for (std::size_t l = 0; l < link_count; ++l) {
    links_[l] = {problem.capacity[l], 0, 0, 0};
  }
  for (const std::int32_t l : problem.links) {
    ++links_[l].unfixed;
  }
  std::int32_t sum = 0;
  for (Link& link : links_) {
    link.first_flow = sum;
    sum += link.unfixed;
  }
  flows_of_link_.resize(problem.links.size());
  const auto flow_count = static_cast<std::int32_t>(problem.flows());
  for (std::int32_t f = 0; f < flow_count; ++f) {
    for (std::int32_t i = problem.first[f]; i < problem.first[f + 1]; ++i) {
      Link& link = links_[problem.links[i]];
      flows_of_link_[link.first_flow + link.fixed_now++] = f;
    }
  }
  heap_.clear();
  for (std::size_t l = 0; l < link_count; ++l) {
    links_[l].fixed_now = 0;
    if (links_[l].unfixed > 0) {
      heap_.emplace_back(links_[l].remaining / links_[l].unfixed, static_cast<std::int32_t>(l));
    }
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
}

void MaxMinSolver::fix(const MaxMinProblem& problem, std::int32_t flow, double share,
                       std::vector<double>& rate) {
  rate[flow] = share;
  fixed_[flow] = 1;
  for (std::int32_t i = problem.first[flow]; i < problem.first[flow + 1]; ++i) {
    Link& link = links_[problem.links[i]];
    if (link.fixed_now++ == 0) {
      touched_.push_back(problem.links[i]);
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
  }
  touched_.clear();
}

// Brings the smallest share up to date at the top of the heap: shares only grow as flows are fixed,
// so an outdated entry is too small at worst. False when no unfixed flow is left on any link.
bool MaxMinSolver::refresh_top() {
  while (!heap_.empty()) {
    const auto [share, l] = heap_.front();
    const Link& link = links_[l];
    if (link.unfixed > 0) {
      const double now = link.remaining / link.unfixed;
      if (now <= share) {
        heap_.front().first = now;
        return true;
      }
      std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
      heap_.back() = {now, l};
      std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
      continue;
    }
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    heap_.pop_back();
  }
  return false;
}

void MaxMinSolver::solve(const MaxMinProblem& problem, std::vector<double>& rate) {
  const std::size_t flow_count = problem.flows();
  rate.resize(flow_count);
  fixed_.assign(flow_count, 0);
  caps_.clear();
  for (std::size_t f = 0; f < problem.cap.size(); ++f) {
    const bool loose = problem.first[f] == problem.first[f + 1];
    if (loose) {
      rate[f] = problem.cap[f];
      fixed_[f] = 1;
    } else if (problem.cap[f] < kUncapped) {
      caps_.emplace_back(problem.cap[f], static_cast<std::int32_t>(f));
    }
  }
  std::sort(caps_.begin(), caps_.end());
  index_links(problem);
  std::size_t next_cap = 0;
  while (refresh_top()) {
    const auto [share, l] = heap_.front();
    while (next_cap < caps_.size() && fixed_[caps_[next_cap].second] != 0) {
      ++next_cap;
    }
    if (next_cap < caps_.size() && caps_[next_cap].first <= share) {
      const auto [flow_cap, flow] = caps_[next_cap++];
      fix(problem, flow, flow_cap, rate);
      settle(flow_cap);
      continue;
    }
    const std::int32_t begin = links_[l].first_flow;
    const std::int32_t end = static_cast<std::size_t>(l) + 1 < links_.size()
                                 ? links_[l + 1].first_flow
                                 : static_cast<std::int32_t>(flows_of_link_.size());
    for (std::int32_t i = begin; i < end; ++i) {
      if (fixed_[flows_of_link_[i]] == 0) {
        fix(problem, flows_of_link_[i], share, rate);
      }
    }
    settle(share);
  }
}

}  // namespace foretoken
