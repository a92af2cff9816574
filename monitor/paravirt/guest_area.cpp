#include "monitor/paravirt/guest_area.h"

namespace ringshift {

// The last byte's address cannot have wrapped where the first page is RAM, of which there are less
// than 4 GiB.
bool GuestArea::is_ram() const {
  return memory_.is_ram(GuestPhysicalPage::of(at(0))) &&
         memory_.is_ram(GuestPhysicalPage::of(at(bytes_ - 1)));
}

// The version is the guest's memory, too, and may be anything.
bool GuestArea::write_versioned(uint32_t version_at, uint32_t offset,
                                std::span<const uint8_t> content) {
  if (!is_ram()) return false;
  uint32_t version = 0;
  memory_.read(at(version_at), &version, sizeof version);
  version = (version + 1) | 1U;
  write32(version_at, version);
  memory_.write(at(offset), content.data(), static_cast<uint32_t>(content.size()));
  write32(version_at, version + 1);
  return true;
}

bool GuestArea::write_number(uint32_t offset, uint64_t number) {
  if (!is_ram()) return false;
  memory_.write(at(offset), &number, sizeof number);
  return true;
}

}  // namespace ringshift
