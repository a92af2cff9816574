// TieBreaker: a file that both machines of a pair can reach, in which at most one of them is ever
// named as the one that goes on when they have lost each other. Owns: the descriptor. See
// docs/replication.md, "Never two".
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace ringshift {

class TieBreaker {
 public:
  enum class Side : uint8_t { Primary, Backup };
  static constexpr size_t kPairBytes = 16;
  // Chosen at random by each primary when it begins.
  using Pair = std::array<uint8_t, kPairBytes>;

  // Opens the file, which the primary makes and begins anew; the backup finds the same pair in it.
  // Before the process is confined. Null with one line in *error.
  static std::unique_ptr<TieBreaker> open(const std::string& path, Side side, const Pair& pair,
                                          std::string* error);
  ~TieBreaker();
  TieBreaker(const TieBreaker&) = delete;
  TieBreaker& operator=(const TieBreaker&) = delete;

  // This side is the one, for good. False: the other one is, or the file does not say so, or cannot
  // be written: *why has one line. Any thread, one at a time; may wait for the host.
  [[nodiscard]] bool win(std::string* why);
  // This side lives, and is the primary of a new pair from here on. Nobody else is named in that
  // pair yet: a machine of the earlier pair finds that its pair is over. Not if the file names
  // another, or is another pair's: false, *why has one line, and all is as it was. As win().
  [[nodiscard]] bool renew(const Pair& pair, std::string* why);

 private:
  TieBreaker(int descriptor, std::string path, Side side, const Pair& pair)
      : descriptor_(descriptor), path_(std::move(path)), side_(side), pair_(pair) {}
  [[nodiscard]] bool lock(bool is_locked) const;
  [[nodiscard]] bool read(Pair* pair, uint8_t* winner) const;
  [[nodiscard]] bool write(const Pair& pair, uint8_t winner) const;
  bool fail(std::string* error) const;

  int descriptor_;
  std::string path_;
  Side side_;
  Pair pair_;
};

}  // namespace ringshift
