// What a profile says about collectives, as plain numbers: sim/network simulates with them.
#pragma once

#include <map>
#include <string>

#include "sim/spec/cluster.h"
#include "sim/spec/profile.h"

namespace foretoken {

struct CollectiveConstants {
  double t0 = 0;            // s, fixed time of one call
  double step_latency = 0;  // s, fixed time of one step, whatever the link
  struct PerClass {
    double efficiency = 1;    // share of the link's bandwidth reached
    double step_latency = 0;  // s, besides the common one
  };
  std::map<LinkClass, PerClass> per_class;  // every class has an entry
  struct PerProtocol {
    double efficiency = 1;    // times the link class's
    double t0 = 0;            // s, besides the common one
    double step_latency = 0;  // s, likewise
  };
  std::map<std::string, PerProtocol> protocols;  // those the profile states; may be empty
  // s, what a call of this algorithm takes besides; those the profile states.
  std::map<std::string, double> algorithm_t0;
  std::map<LinkClass, Provenance> provenance_of;  // weakest of the numbers a class uses
  Provenance provenance = Provenance::assumed;    // weakest over the classes the profile speaks of
  double sd_family = 0;
};

// Numbers that the profile lacks are assumed (sim/cost/assumptions.h).
CollectiveConstants collective_constants(const Profile& profile);

}  // namespace foretoken
