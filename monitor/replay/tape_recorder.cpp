#include "monitor/replay/tape_recorder.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringshift {

std::unique_ptr<TapeRecorder> TapeRecorder::create(int descriptor, std::string* error) {
  auto recorder = std::unique_ptr<TapeRecorder>(new TapeRecorder(descriptor));
  if (recorder->write(tape_header())) return recorder;
  *error = recorder->problem_;
  return nullptr;
}

TapeRecorder::~TapeRecorder() {
  write_chunk();
  close(descriptor_);
}

void TapeRecorder::begin_life() { ++life_; }

void TapeRecorder::note(const TapePosition& at, const HostInput& input) {
  add({.kind = TapeEntry::Kind::Input, .at = at, .input = input, .mark = {}});
}

// Marks come at regular times, so a chunk ends with each.
void TapeRecorder::mark(const TapePosition& at, const TapeMark& here) {
  add({.kind = TapeEntry::Kind::Mark, .at = at, .input = {}, .mark = here});
  write_chunk();
}

void TapeRecorder::end(const TapePosition& at, const TapeMark& here, EndedBy who) {
  add({.kind = who == EndedBy::Guest ? TapeEntry::Kind::End : TapeEntry::Kind::Stop,
       .at = at,
       .input = {},
       .mark = here});
  write_chunk();
}

void TapeRecorder::give_up(const std::string& why) {
  if (!problem_.empty()) return;
  write_chunk();
  if (problem_.empty()) problem_ = "the recording ends here: " + why;
}

void TapeRecorder::add(const TapeEntry& entry) {
  if (!problem_.empty()) return;
  constexpr size_t kEnough = size_t{64} << 10;
  append_entry(entry, &plain_);
  if (plain_.size() > kEnough) write_chunk();
}

void TapeRecorder::write_chunk() {
  if (plain_.empty() || !problem_.empty()) return;
  if (write(pack_chunk(plain_, chunks_))) ++chunks_;
  plain_.clear();
}

bool TapeRecorder::write(const std::vector<uint8_t>& bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t now = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) {
      problem_ = std::string("the recording ends here: cannot write its tape: ") +
                 std::strerror(now < 0 ? errno : ENOSPC);
      return false;
    }
    done += static_cast<size_t>(now);
  }
  return true;
}

}  // namespace ringshift
