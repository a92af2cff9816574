// MigrationListener: waits for a machine that comes from another process: at a socket that listens,
// or on a connection that was inherited. Owns: the descriptor. See docs/migration.md.
#pragma once

#include <memory>
#include <string>

namespace ringshift {

class MigrationListener {
 public:
  // "unix:PATH", "tcp:HOST:PORT" (0: any port that is free) or "fd:N". Null with one line in
  // *error.
  static std::unique_ptr<MigrationListener> create(const std::string& where, std::string* error);
  ~MigrationListener();
  MigrationListener(const MigrationListener&) = delete;
  MigrationListener& operator=(const MigrationListener&) = delete;

  // As another process names it.
  [[nodiscard]] const std::string& where() const { return where_; }
  // Waits until somebody has come, and gives his socket, which is the caller's. -1 with one line in
  // *error: nobody comes any more, or the end was asked for.
  [[nodiscard]] int wait(std::string* error);
  // Waits for nobody else from here on.
  void close();

 private:
  MigrationListener() = default;
  std::string where_;
  std::string path_;    // of a UNIX socket's name, which is ours to take away
  int listening_ = -1;  // -1: inherited_ is the only one
  int inherited_ = -1;  // until it has been given
};

// A line's "where" makes sense, and does not leave this host without a key. False with one line in
// *problem, which begins with the option.
[[nodiscard]] bool check_migration_address(const std::string& option, const std::string& where,
                                           bool has_key, std::string* problem);

}  // namespace ringshift
