#include "monitor/replay/tape_player.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringshift {
namespace {

// Fewer than `count` only at the end of the file, or with errno.
bool read_up_to(int descriptor, size_t count, std::vector<uint8_t>* bytes) {
  const size_t before = bytes->size();
  bytes->resize(before + count);
  size_t done = 0;
  while (done < count) {
    const ssize_t now = ::read(descriptor, bytes->data() + before + done, count - done);
    if (now < 0 && errno == EINTR) continue;
    if (now <= 0) break;
    done += static_cast<size_t>(now);
  }
  bytes->resize(before + done);
  return done == count;
}

}  // namespace

std::unique_ptr<TapePlayer> TapePlayer::create(int descriptor, const PlayRequest& request,
                                               std::string* error) {
  auto player = std::unique_ptr<TapePlayer>(new TapePlayer(descriptor, request));
  std::vector<uint8_t> header;
  (void)read_up_to(descriptor, kTapeHeaderBytes, &header);
  if (!check_tape_header(header, error)) return nullptr;
  return player;
}

TapePlayer::~TapePlayer() { close(descriptor_); }

// A recorder that was killed leaves a chunk that is not whole: the tape ends before it.
void TapePlayer::read_more() {
  constexpr size_t kStep = size_t{256} << 10;
  while (entries_.empty() && damage_.empty()) {
    std::vector<TapeEntry> entries;
    size_t taken = 0;
    switch (unpack_chunk(bytes_, chunks_, &entries, &taken, &damage_)) {
      case ChunkResult::Whole:
        bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(taken));
        ++chunks_;
        chunk_offset_ = read_offset_;
        read_offset_ += taken;
        taken_ = 0;
        entries_.insert(entries_.end(), std::make_move_iterator(entries.begin()),
                        std::make_move_iterator(entries.end()));
        break;
      case ChunkResult::Cut:
        if (is_read_) return;
        is_read_ = !read_up_to(descriptor_, kStep, &bytes_);
        break;
      case ChunkResult::Damaged:
        return;
    }
  }
}

void TapePlayer::drop_first() {
  entries_.pop_front();
  ++taken_;
}

TapePlace TapePlayer::place() const {
  // A chunk that is used up is read again for nothing.
  return {.chunk_offset = chunks_ == 0 ? kTapeHeaderBytes : chunk_offset_,
          .chunk = chunks_ == 0 ? 0 : chunks_ - 1,
          .taken = taken_,
          .lives = life_,
          .last = last_,
          .marks = marks_,
          .inputs = inputs_};
}

bool TapePlayer::go_back_to(const TapePlace& place) {
  const auto offset = static_cast<off_t>(place.chunk_offset);
  if (lseek(descriptor_, offset, SEEK_SET) != offset) return false;
  bytes_.clear();
  entries_.clear();
  damage_.clear();
  problem_.clear();
  is_read_ = false;
  chunks_ = place.chunk;
  chunk_offset_ = read_offset_ = place.chunk_offset;
  taken_ = 0;
  life_ = place.lives;
  last_ = place.last;
  marks_ = place.marks;
  inputs_ = place.inputs;
  if (place.taken == 0) return true;
  read_more();
  if (entries_.size() < place.taken) return false;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(place.taken));
  taken_ = place.taken;
  return true;
}

const TapeEntry* TapePlayer::next() {
  if (entries_.empty()) read_more();
  return entries_.empty() ? nullptr : &entries_.front();
}

void TapePlayer::differ(const TapePosition& at, const std::string& what) {
  if (problem_.empty()) {
    problem_ = fmt::format("the replay is not the recorded run: at {} {}", at.text(), what);
  }
}

void TapePlayer::give_up(const std::string& why) {
  if (problem_.empty()) problem_ = "the replay ends here: " + why;
}

std::optional<HostInput> TapePlayer::next_at(const TapePosition& at) {
  reached_ = at;
  const TapeEntry* entry = next();
  if (entry == nullptr || entry->kind != TapeEntry::Kind::Input) return std::nullopt;
  if (entry->at == at) {
    HostInput input = entry->input;
    last_ = at;
    ++inputs_;
    drop_first();
    return input;
  }
  const bool is_passed =
      at.life == entry->at.life && (at.events > entry->at.events || at.halts > entry->at.halts);
  if (is_passed) differ(at, fmt::format("an input of {} has been passed", entry->at.text()));
  return std::nullopt;
}

std::optional<uint64_t> TapePlayer::next_count() {
  std::optional<uint64_t> count;
  const TapeEntry* entry = next();
  if (entry == nullptr) {
    count = last_.life == life() ? last_.events : 0;
  } else if (entry->at.life == life() &&
             (entry->kind == TapeEntry::Kind::Input || entry->kind == TapeEntry::Kind::Stop)) {
    count = entry->at.events;
  }
  if (request_.until && life() == 0)
    count = std::min(count.value_or(~uint64_t{0}), *request_.until);
  return count;
}

void TapePlayer::compare(const TapeEntry& recorded, const TapePosition& at, const TapeMark& here) {
  if (recorded.at != at) {
    return differ(at, fmt::format("there is what the recording has at {}", recorded.at.text()));
  }
  if (recorded.mark.registers != here.registers) {
    return differ(at, fmt::format("the registers are others (hash {:016x}, recorded {:016x})",
                                  here.registers, recorded.mark.registers));
  }
  if (recorded.mark.output != here.output) {
    return differ(at, fmt::format("what has been sent is other (hash {:016x}, recorded {:016x})",
                                  here.output, recorded.mark.output));
  }
  if (request_.hashes_memory && recorded.mark.memory != here.memory) {
    return differ(at, fmt::format("RAM is another (hash {:016x}, recorded {:016x})", here.memory,
                                  recorded.mark.memory));
  }
  ++marks_;
}

void TapePlayer::mark(const TapePosition& at, const TapeMark& here) {
  reached_ = at;
  const TapeEntry* entry = next();
  if (entry == nullptr) return;
  if (entry->kind != TapeEntry::Kind::Mark) {
    return differ(at, fmt::format("there is what the recording has at {}", entry->at.text()));
  }
  compare(*entry, at, here);
  last_ = at;
  drop_first();
}

// The guest has come to its end by itself, or the tape has.
void TapePlayer::end(const TapePosition& at, const TapeMark& here, EndedBy who) {
  reached_ = at;
  const TapeEntry* entry = next();
  if (entry == nullptr || who == EndedBy::Outside) return;
  if (entry->kind != TapeEntry::Kind::End) {
    return differ(at, fmt::format("it ends, and the recording goes on at {}", entry->at.text()));
  }
  compare(*entry, at, here);
  last_ = at;
  drop_first();
}

bool TapePlayer::wants_stop(const TapePosition& at) {
  reached_ = at;
  if (!problem_.empty()) return true;
  if (request_.until && at.life == 0 && at.events >= *request_.until) return true;
  const TapeEntry* entry = next();
  if (entry == nullptr) {
    if (!damage_.empty()) problem_ = "the tape ends here: " + damage_;
    return at.life > last_.life || at.events >= last_.events;
  }
  return entry->kind == TapeEntry::Kind::Stop && at.life == entry->at.life &&
         at.events >= entry->at.events;
}

std::string TapePlayer::report() const {
  return fmt::format("replayed to {}: {} inputs, {} marks agree", reached_.text(), inputs_, marks_);
}

}  // namespace ringshift
