// WebAccess: the rule by which a server for a browser on this host answers: the client knows the
// token of the run, and asks by the name that the server has. Owns: the token, and the number by
// which the page's own scripts are known. See docs/screen.md, "What peers can do".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

struct lws;
struct lws_context;
struct lws_protocols;

namespace ringshift {

class WebAccess {
 public:
  // Makes a new nonce and a new token. host: four numbers, as in 127.0.0.1.
  explicit WebAccess(std::string host);

  // Listens at this port of the host, 0: whichever is free. The context's user is `user`; it has so
  // many requests at a time. Null with one line in *error.
  [[nodiscard]] lws_context* listen(uint16_t port, const lws_protocols* protocols, void* user,
                                    uint16_t requests, std::string* error);

  [[nodiscard]] const std::string& nonce() const { return nonce_; }
  // http://HOST:PORT/?token=...
  [[nodiscard]] std::string address() const;

  // The request names this host: a page of another site that has its own name lead here is not
  // served. A request that comes from a page must come from one of ours.
  [[nodiscard]] bool is_asked_as_ours(lws* connection) const;
  [[nodiscard]] bool has_token(lws* connection) const;
  // A browser says where a connection of a page's comes from; who says nothing is none.
  [[nodiscard]] static bool names_a_page(lws* connection);

 private:
  std::string host_, token_, nonce_;
  uint16_t port_ = 0;
};

// The head of an answer that is not kept, and may load nothing from elsewhere: pictures as `images`
// says, in a policy's words. False: the connection is of no use.
[[nodiscard]] bool write_page_head(lws* connection, std::string_view type, size_t bytes,
                                   std::string_view nonce, std::string_view images);
// All that comes behind the head. Returns the value for libwebsockets' callback to return.
[[nodiscard]] int write_page_body(lws* connection, std::string_view body);
// For a client that gets no page. Returns the value for libwebsockets' callback to return.
[[nodiscard]] int turn_away(lws* connection);

}  // namespace ringshift
