#include "devices/host/page_server.h"

#include <libwebsockets.h>

#include <array>
#include <map>
#include <utility>

#include "devices/host/web_access.h"

namespace ringshift {
namespace {

constexpr lws_usec_t kTick = 100'000;

}  // namespace

struct PageServer::Parts {
  explicit Parts(const PageServerConfig& with) : config(with), access(with.host) {}
  ~Parts() {
    if (context != nullptr) lws_context_destroy(context);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  [[nodiscard]] bool listen(std::string* error);
  // The callback of libwebsockets.
  static int on_http(lws* connection, lws_callback_reasons reason, void* user, void* in,
                     size_t length);
  static void on_timer(lws_sorted_usec_list_t* list);
  static Parts& of(lws* connection) {
    return *static_cast<Parts*>(lws_context_user(lws_get_context(connection)));
  }
  [[nodiscard]] int begin_answer(lws* connection, const std::string& path);
  [[nodiscard]] int finish_answer(lws* connection);

  PageServerConfig config;
  WebAccess access;
  lws_context* context = nullptr;
  std::array<lws_protocols, 2> protocols{};
  std::map<lws*, std::string> bodies;  // whose head has been sent
  struct Timer {
    lws_sorted_usec_list_t list{};
    Parts* parts = nullptr;
  } timer;
  std::function<bool()> on_tick;
  bool is_over = false;
};

int PageServer::Parts::begin_answer(lws* connection, const std::string& path) {
  if (!access.is_asked_as_ours(connection) || !access.has_token(connection)) {
    return turn_away(connection);
  }
  std::optional<PageAnswer> answer = config.answer(path, access.nonce());
  if (!answer || answer->body.empty()) {
    const bool is_said = lws_return_http_status(connection, HTTP_STATUS_NOT_FOUND, nullptr) == 0;
    return is_said && lws_http_transaction_completed(connection) == 0 ? 0 : -1;
  }
  if (!write_page_head(connection, answer->type, answer->body.size(), access.nonce(), "'self'")) {
    return -1;
  }
  bodies[connection] = std::move(answer->body);
  lws_callback_on_writable(connection);
  return 0;
}

int PageServer::Parts::finish_answer(lws* connection) {
  const auto found = bodies.find(connection);
  if (found == bodies.end()) return -1;
  const std::string body = std::move(found->second);
  bodies.erase(found);
  return write_page_body(connection, body);
}

int PageServer::Parts::on_http(lws* connection, lws_callback_reasons reason, void*, void* in,
                               size_t length) {
  switch (reason) {
    case LWS_CALLBACK_HTTP:
      return of(connection).begin_answer(connection, {static_cast<const char*>(in), length});
    case LWS_CALLBACK_HTTP_WRITEABLE:
      return of(connection).finish_answer(connection);
    case LWS_CALLBACK_CLOSED_HTTP:
      of(connection).bodies.erase(connection);
      return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return -1;  // there are no WebSockets here
    default:
      return lws_callback_http_dummy(connection, reason, nullptr, in, length);
  }
}

void PageServer::Parts::on_timer(lws_sorted_usec_list_t* list) {
  Parts* const parts = reinterpret_cast<Timer*>(list)->parts;  // it is its first member
  if (!parts->on_tick()) {
    parts->is_over = true;
    lws_cancel_service(parts->context);
    return;
  }
  lws_sul_schedule(parts->context, 0, list, on_timer, kTick);
}

bool PageServer::Parts::listen(std::string* error) {
  timer.parts = this;
  protocols[0] = {"http", on_http, 0, 0, 0, nullptr, 0};
  constexpr uint16_t kRequests = 16;
  context = access.listen(config.port, protocols.data(), this, kRequests, error);
  return context != nullptr;
}

PageServer::PageServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
PageServer::~PageServer() = default;

std::unique_ptr<PageServer> PageServer::create(const PageServerConfig& config, std::string* error) {
  auto parts = std::make_unique<Parts>(config);
  if (!parts->listen(error)) return nullptr;
  return std::unique_ptr<PageServer>(new PageServer(std::move(parts)));
}

void PageServer::run(const std::function<bool()>& on_tick) {
  parts_->on_tick = on_tick;
  lws_sul_schedule(parts_->context, 0, &parts_->timer.list, Parts::on_timer, 1);
  while (!parts_->is_over && lws_service(parts_->context, 0) >= 0) {
  }
}

std::string PageServer::where() const { return parts_->access.address(); }

}  // namespace ringshift
