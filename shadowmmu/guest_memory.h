// GuestMemory: guest-physical RAM as bytes, kept in a memfd so that it can be mapped many times.
// Owns: the memfd and one read-write mapping of all of it. Does not own: windows, traces.
// Called by: walker, physical memory, devices (DMA), boot. Raw: writes here notify nobody; whoever
// writes while a guest may have traces on the page goes through PhysicalMemory instead (M2).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "shadowmmu/base/address.h"

namespace ringshift {

class GuestMemory {
 public:
  // bytes: size of RAM, a multiple of 4 KiB, starting at guest-physical 0. On failure returns null
  // and puts one line into *error.
  static std::unique_ptr<GuestMemory> create(uint64_t bytes, std::string* error);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // All of it zero again, as a machine finds it that is switched on, and none of it in use on the
  // host. Pre: nobody is left who would have to be told. False: the host refuses.
  [[nodiscard]] bool clear();

  [[nodiscard]] uint64_t size() const { return size_; }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool contains(GuestPhysical address, uint64_t bytes) const {
    return address.value() <= size_ && bytes <= size_ - address.value();
  }
  // Host bytes of RAM at `address`. Pre: contains(address, length).
  [[nodiscard]] uint8_t* at(GuestPhysical address) const { return base_ + address.value(); }
  [[nodiscard]] std::span<uint8_t> span(GuestPhysical address, uint64_t length) const {
    return {at(address), static_cast<size_t>(length)};
  }

 private:
  GuestMemory() = default;
  uint8_t* base_ = nullptr;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

}  // namespace ringshift
