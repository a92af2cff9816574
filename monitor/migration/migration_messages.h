// MigrationMessages: the messages between the two sides of a migration, or between a primary and
// its backup. Each has its length and a hash over its kind, its place in the order and its bytes. A
// message is never trusted: one that is too long, out of order or damaged ends the conversation
// with one line. Does not own: the stream. See docs/migration.md, "The stream".
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringshift {

// Bytes, in order, to somebody and from him.
class MigrationStream {
 public:
  enum class End : uint8_t {
    None,
    Closed,     // he has ended the connection, and said all he was going to say
    Silent,     // nothing has come, or gone, for too long
    Broken,     // the host says so; which messages were sent or received is not known
    NotWanted,  // we are to stop
  };
  virtual ~MigrationStream() = default;
  // All of the bytes, or false.
  [[nodiscard]] virtual bool read(std::span<uint8_t> bytes) = 0;
  [[nodiscard]] virtual bool write(std::span<const uint8_t> bytes) = 0;
  // Why not.
  [[nodiscard]] virtual End end() const = 0;
};

enum class MessageKind : uint32_t {
  // Sent by both sides.
  Hello = 1,
  Proof,
  // Sent by the source.
  Begin,
  State,     // bytes of a state, to be put together
  Rehearse,  // the state is there, and is to be tried
  Grain,
  End,  // the last state is there, and all of RAM
  Commit,
  // Sent by the target.
  Accept,
  Ready,
  Running,
  Refuse,  // one line of text
  // For post-copy. Missing, by the source: the grains that come after the guest runs. Want and
  // Whole, by the target: a grain that it waits for; and that it needs no more.
  Missing,
  Want,
  Whole,
  // Sent by a primary or its backup (monitor/replication/).
  Log,
  Beat,
  Heard,
  Join,
};
inline constexpr uint32_t kLastMessageKind = static_cast<uint32_t>(MessageKind::Join);

struct MigrationMessage {
  MessageKind kind = MessageKind::Hello;
  std::vector<uint8_t> bytes;
};

class MigrationMessages {
 public:
  static constexpr size_t kHeaderBytes = 16;
  static constexpr size_t kMostBytes = (size_t{1} << 20) + 64;

  explicit MigrationMessages(MigrationStream& stream) : stream_(stream) {}
  // False: problem() says why. Pre: head and body have kMostBytes at the most.
  [[nodiscard]] bool send(MessageKind kind, std::span<const uint8_t> head = {},
                          std::span<const uint8_t> body = {});
  [[nodiscard]] bool receive(MigrationMessage* message);
  [[nodiscard]] const std::string& problem() const { return problem_; }
  [[nodiscard]] MigrationStream::End end() const { return stream_.end(); }
  // Receives one more message, which must be of this kind. If it is a refusal, its text becomes the
  // problem. False as for send().
  [[nodiscard]] bool expect(MessageKind kind, MigrationMessage* message);
  [[nodiscard]] uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  bool fail(std::string why);
  bool fail_by_end();

  MigrationStream& stream_;
  std::string problem_;
  std::vector<uint8_t> out_;
  uint64_t sent_ = 0, received_ = 0;  // messages
  uint64_t bytes_sent_ = 0;
};

// Fixed numbers of a message, little-endian, one behind the other.
void put_u32(std::vector<uint8_t>* bytes, uint32_t value);
void put_u64(std::vector<uint8_t>* bytes, uint64_t value);
// Pre: they are there.
[[nodiscard]] uint32_t get_u32(std::span<const uint8_t> bytes, size_t at);
[[nodiscard]] uint64_t get_u64(std::span<const uint8_t> bytes, size_t at);

// The first message of each side.
inline constexpr uint32_t kMigrationFormat = 1;
inline constexpr size_t kHelloBytes = 48;
struct MigrationHello {
  uint32_t format = kMigrationFormat;
  bool has_key = false;
  std::span<const uint8_t> nonce;  // kNonceBytes
};
[[nodiscard]] std::vector<uint8_t> bytes_of_hello(const MigrationHello& hello);
// False with one line in *problem. The peer must have the same format, and a key if and only if we
// have one.
[[nodiscard]] bool read_hello(std::span<const uint8_t> bytes, bool has_key, MigrationHello* hello,
                              std::string* problem);

// A stranger's words as one line that can be shown.
[[nodiscard]] std::string shown_line(std::span<const uint8_t> bytes);

// One number for all of RAM: of its grains' hashes, 0 for one of zeros.
[[nodiscard]] uint64_t hash_of_grains(std::span<const uint64_t> hashes);

// The head of MessageKind::Grain, in front of the grain's bytes.
inline constexpr size_t kGrainHeadBytes = 8;
// RAM below comes before the guest runs, whatever comes later: firmware keeps pointers there.
inline constexpr uint64_t kNeverLate = uint64_t{1} << 20;
// More grains than that are not late: each may take a mapping of the host's.
inline constexpr size_t kMostLateGrains = 4097;

// A flag of MessageKind::End: somebody has stopped the guest, and it stays stopped on the other
// side, too.
inline constexpr uint32_t kMigratedStands = 1;

// A machine's state has no more than this, with the writes that its disks' images do not have.
inline constexpr size_t kMostMigratedState = size_t{512} << 20;

}  // namespace ringshift
