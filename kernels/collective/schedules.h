// The schedules behind Collective, for those who add one: a row in make_schedule.
#pragma once

#include <memory>

#include "kernels/base/aligned_buffer.h"
#include "kernels/collective/collective.h"
#include "kernels/collective/slices.h"

namespace foretoken::kernels {

// What all schedules of one collective share.
struct ScheduleContext {
  const CollectiveDesc& desc;
  const Codec& codec;
  Transport& transport;
  int rank;
  int ranks;
  const void* in = nullptr;  // set for every run
  void* out = nullptr;

  std::size_t unit() const { return slice_unit(desc.first, desc.second); }
  Range chunk(std::size_t index) const {
    return part_of({0, desc.values}, desc.chunks, index, unit());
  }
};

std::unique_ptr<Schedule> make_schedule(ScheduleContext& context);

}  // namespace foretoken::kernels
