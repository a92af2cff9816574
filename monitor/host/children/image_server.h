// ImageServer: a `qemu-nbd` of ours, which serves one disk image in a format that only it knows to
// this process alone, by the network block device protocol. Owns: the process, until it has ended.
// It ends when its one connection does, or when this process does. Started before a run is
// confined. See docs/usage.md, "Disks", and docs/security.md.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

namespace ringshift {

struct ServedImage {
  std::string path;
  std::string format;  // as qemu-nbd calls it: "qcow2"
  bool read_only = false;
  bool snapshot = false;  // writes are lost with the server
};

class ImageServer {
 public:
  // Any thread: the run is to end, and nothing is to be waited for any longer than must be.
  using IsUnwanted = std::function<bool()>;
  // Null with one line in *error: there is no qemu-nbd, or the host refuses a process. An image
  // that qemu-nbd does not like is found out by connecting.
  static std::unique_ptr<ImageServer> start(const ServedImage& image, IsUnwanted is_unwanted,
                                            std::string* error);
  // Pre: the connection has been closed. Waits until the image is whole and free again, ten seconds
  // at most.
  ~ImageServer();
  ImageServer(const ImageServer&) = delete;
  ImageServer& operator=(const ImageServer&) = delete;

  // The address to connect to, once.
  [[nodiscard]] std::string uri() const;
  // The connection is there, or never will be: the socket's name goes.
  void forget_name();
  // The last line that the server printed before it ended; empty: it printed nothing, or has not
  // ended.
  [[nodiscard]] std::string last_words();

 private:
  explicit ImageServer(IsUnwanted is_unwanted) : is_unwanted_(std::move(is_unwanted)) {}
  [[nodiscard]] bool make_socket(std::string* error);
  [[nodiscard]] bool start_process(const ServedImage& image, std::string* error);
  // False: not within so many milliseconds.
  [[nodiscard]] bool wait_for_end(int milliseconds);

  IsUnwanted is_unwanted_;
  std::string folder_;  // of the socket; empty: gone
  int listener_ = -1;   // the process's, once it is there
  int said_ = -1;       // its standard error
  std::string words_;
  pid_t process_ = -1;
};

}  // namespace ringshift
