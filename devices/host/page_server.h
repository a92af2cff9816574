// PageServer: answers GET requests of a browser on this host: one page and the parts that it asks
// for. Owns: libwebsockets' context and the bytes that wait to be sent. Only a client with the
// token of the page's address is answered. Runs on its caller's thread. See docs/machines.md, "The
// page".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace ringshift {

struct PageAnswer {
  std::string type;  // of the content, as HTTP names it
  std::string body;
};

struct PageServerConfig {
  std::string host = "127.0.0.1";  // four numbers
  uint16_t port = 0;               // 0: whichever is free
  // Answers a path, as a peer has sent it. Nothing: there is no such thing. `nonce`: a number for
  // this run, by which the page's own scripts and styles are known.
  std::function<std::optional<PageAnswer>(const std::string& path, const std::string& nonce)>
      answer;
};

class PageServer {
 public:
  // Listens. Null with one line in *error.
  static std::unique_ptr<PageServer> create(const PageServerConfig& config, std::string* error);
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  // Serves, and calls on_tick ten times a second, until that says false.
  void run(const std::function<bool()>& on_tick);
  // The page's address, with its token.
  [[nodiscard]] std::string where() const;

 private:
  struct Parts;  // keeps libwebsockets out of the headers
  explicit PageServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ringshift
