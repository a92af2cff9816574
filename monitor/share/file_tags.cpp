#include "monitor/share/file_tags.h"

#include <vector>

#include "devices/virtio/file_port.h"
#include "devices/virtio/virtio_number.h"
#include "monitor/share/file_messages.h"
#include "shadowmmu/base/check.h"
#include "shadowmmu/base/state_archive.h"

namespace ringshift {

uint16_t file_tag_of(std::span<const uint8_t> message) {
  return static_cast<uint16_t>(number_at(message, kFileTagAt, 2));
}

uint16_t FileTags::free() const {
  size_t tag = 0;
  while (used_.test(tag)) ++tag;
  return static_cast<uint16_t>(tag);
}

void FileTags::note_request(std::span<const uint8_t> message) {
  const uint8_t type = message[kFileTypeAt];
  const uint16_t tag = file_tag_of(message);
  CHECK(tag < kMostRequests && !used_.test(tag));
  used_.set(tag);
  const bool has_fid = message.size() >= kFileFidEnd;
  const uint32_t fid = file_fid_of(message);
  if (type == kFileVersion) mounted_.clear();
  if (type == kFileClunk && has_fid) mounted_.erase(fid);
  if (type == kFileAttach) attaching_[tag] = fid;
}

void FileTags::note_answer(std::span<const uint8_t> message) {
  const uint16_t tag = file_tag_of(message);
  if (message[kFileTypeAt] == kFileAttach + 1 && mounted_.size() < kMostMounts) {
    const auto asked = attaching_.find(tag);
    if (asked != attaching_.end()) mounted_.insert(asked->second);
  }
  give_up(tag);
}

void FileTags::give_up(uint16_t tag) {
  attaching_.erase(tag);
  if (tag < kMostRequests) used_.reset(tag);
}

void FileTags::visit_state(StateArchive& archive) {
  std::vector<uint16_t> used, asking;
  std::vector<uint32_t> roots, mounted(mounted_.begin(), mounted_.end());
  for (size_t tag = 0; tag < kMostRequests; ++tag) {
    if (used_.test(tag)) used.push_back(static_cast<uint16_t>(tag));
  }
  for (const auto& [tag, root] : attaching_) {
    asking.push_back(tag);
    roots.push_back(root);
  }
  archive.list("used", used, kMostRequests);
  archive.list("asking", asking, kMostRequests);
  archive.list("roots", roots, kMostRequests);
  archive.list("mounted", mounted, kMostMounts);
  archive.require(asking.size() == roots.size(), "roots", "there is not one for each request");
  if (!archive.has_loaded()) return;
  *this = {};
  for (const uint16_t tag : used) used_.set(tag % kMostRequests);
  for (size_t i = 0; i < asking.size() && i < roots.size(); ++i) attaching_[asking[i]] = roots[i];
  mounted_.insert(mounted.begin(), mounted.end());
}

}  // namespace ringshift
