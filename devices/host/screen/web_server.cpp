#include "devices/host/screen/web_server.h"

#include <libwebsockets.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "devices/host/screen/picture_feed.h"
#include "devices/host/screen/web_page.h"
#include "devices/host/web_access.h"
#include "devices/screen/rfb/rfb_session.h"
#include "shadowmmu/base/host_thread.h"

namespace ringshift {
namespace {

constexpr lws_usec_t kTick = 40'000;
constexpr unsigned kTicksBetweenFigures = 25;
constexpr size_t kPiece = 32 * 1024;  // bytes sent at once
// Bytes that wait for a page's control channel; a page that does not read loses the middle of them.
constexpr size_t kMostWaiting = 256 * 1024;

std::string quoted(std::string_view text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      // Bytes of a serial port are no text: each is the character of its number.
      result += "\\u00";
      result += kDigits[byte >> 4];
      result += kDigits[byte & 15];
    } else {
      result += c;
    }
  }
  return result + '"';
}

}  // namespace

namespace web {

// The memory that libwebsockets keeps for each connection: a pointer to our viewer.
struct Slot {
  struct Viewer* viewer;
  struct Controller* controller;
};

struct Viewer {
  lws* connection = nullptr;
  std::unique_ptr<rfb::Session> session;
  size_t sent = 0;
};

struct Controller {
  lws* connection = nullptr;
  uint64_t place = 0;  // in the serial port's output
  std::vector<std::string> messages;
  size_t waiting = 0;  // bytes of them
};

}  // namespace web

struct WebServer::Parts {
  Parts(const WebServerConfig& with, ScreenPort& screen_port, ControlPort& control_port)
      : config(with),
        access(with.host),
        screen(screen_port),
        control(control_port),
        feed(screen_port) {}
  ~Parts() {
    thread.join();
    if (context != nullptr) lws_context_destroy(context);
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;

  [[nodiscard]] bool listen(std::string* error);
  // The callback of libwebsockets, on the server's thread.
  static int on_http(lws* connection, lws_callback_reasons reason, void* user, void* in,
                     size_t length);
  static int on_screen(lws* connection, lws_callback_reasons reason, void* user, void* in,
                       size_t length);
  static int on_control(lws* connection, lws_callback_reasons reason, void* user, void* in,
                        size_t length);
  static void on_timer(lws_sorted_usec_list_t* list);
  static Parts& of(lws* connection) {
    return *static_cast<Parts*>(lws_context_user(lws_get_context(connection)));
  }

  [[nodiscard]] bool may_enter(lws* connection, size_t others) const;
  [[nodiscard]] int serve_page(lws* connection, std::string_view path);
  void open_viewer(lws* connection, web::Slot* slot);
  [[nodiscard]] int receive(web::Viewer& viewer, std::span<const uint8_t> bytes) const;
  [[nodiscard]] int write(web::Viewer& viewer) const;
  [[nodiscard]] static int write(web::Controller& controller);
  void obey(std::string_view message);
  static void say(web::Controller& controller, std::string message);
  void tick();
  void show_screen();
  void tell(web::Controller& controller);
  void schedule();

  WebServerConfig config;
  WebAccess access;
  ScreenPort& screen;
  ControlPort& control;
  PictureFeed feed;
  std::string page;
  lws_context* context = nullptr;
  std::array<lws_protocols, 4> protocols{};
  struct Timer {
    lws_sorted_usec_list_t list{};
    Parts* parts = nullptr;
  } timer;
  bool is_ticking = false;
  unsigned ticks = 0;
  std::string figures;  // the newest
  std::vector<std::unique_ptr<web::Viewer>> viewers;
  std::vector<std::unique_ptr<web::Controller>> controllers;
  HostThread thread;
};

// ---- who gets in ----

bool WebServer::Parts::may_enter(lws* connection, size_t others) const {
  return access.is_asked_as_ours(connection) && WebAccess::names_a_page(connection) &&
         access.has_token(connection) && others < kMostConnections;
}

// ---- the page ----

int WebServer::Parts::serve_page(lws* connection, std::string_view path) {
  if (!access.is_asked_as_ours(connection) || path != "/" || !access.has_token(connection)) {
    return turn_away(connection);
  }
  if (!write_page_head(connection, "text/html; charset=utf-8", page.size(), access.nonce(),
                       "data:")) {
    return -1;
  }
  lws_callback_on_writable(connection);
  return 0;
}

int WebServer::Parts::on_http(lws* connection, lws_callback_reasons reason, void*, void* in,
                              size_t length) {
  Parts& parts = of(connection);
  switch (reason) {
    case LWS_CALLBACK_HTTP:
      return parts.serve_page(connection, {static_cast<const char*>(in), length});
    case LWS_CALLBACK_HTTP_WRITEABLE:
      return write_page_body(connection, parts.page);
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
      parts.show_screen();
      return 0;
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return -1;  // of a WebSocket without a protocol of ours
    default:
      return lws_callback_http_dummy(connection, reason, nullptr, in, length);
  }
}

// ---- the screen ----

void WebServer::Parts::open_viewer(lws* connection, web::Slot* slot) {
  rfb::SessionConfig session;
  session.name = "ringshift";
  session.on_keys = [this](std::vector<uint8_t> codes, KeyTranslator::Change change) {
    return screen.put_keys(std::move(codes), change == KeyTranslator::Change::Press
                                                 ? ScreenPort::Loss::Allowed
                                                 : ScreenPort::Loss::Forbidden);
  };
  session.on_motion = [this](const MouseMotion& motion) { screen.put_motion(motion); };
  auto viewer = std::make_unique<web::Viewer>();
  viewer->connection = connection;
  viewer->session = std::make_unique<rfb::Session>(std::move(session));
  slot->viewer = viewer.get();
  viewers.push_back(std::move(viewer));
  lws_callback_on_writable(connection);
  schedule();
}

int WebServer::Parts::receive(web::Viewer& viewer, std::span<const uint8_t> bytes) const {
  viewer.session->receive(bytes);
  if (viewer.session->is_over()) return -1;
  if (!viewer.session->reads()) lws_rx_flow_control(viewer.connection, 0);
  if (!viewer.session->output().empty()) lws_callback_on_writable(viewer.connection);
  return 0;
}

int WebServer::Parts::write(web::Viewer& viewer) const {
  std::vector<uint8_t>& output = viewer.session->output();
  if (output.empty()) return 0;
  const size_t count = std::min(kPiece, output.size() - viewer.sent);
  std::vector<uint8_t> piece(LWS_PRE);
  const auto from = output.begin() + static_cast<ptrdiff_t>(viewer.sent);
  piece.insert(piece.end(), from, from + static_cast<ptrdiff_t>(count));
  if (lws_write(viewer.connection, piece.data() + LWS_PRE, count, LWS_WRITE_BINARY) < 0) return -1;
  viewer.sent += count;
  if (viewer.sent < output.size()) {
    lws_callback_on_writable(viewer.connection);
  } else {
    output.clear();
    viewer.sent = 0;
  }
  return 0;
}

void WebServer::Parts::show_screen() {
  const auto on_resize = [this] {
    for (const auto& viewer : viewers) viewer->session->note_all_changed();
  };
  const auto on_change = [this](uint32_t column, uint32_t row) {
    for (const auto& viewer : viewers) viewer->session->note_change(column, row);
  };
  if (!feed.take(on_resize, on_change)) return;
  for (const auto& viewer : viewers) {
    if (!viewer->session->waits_for_screen()) continue;
    viewer->session->update(feed.picture());
    if (viewer->session->reads()) lws_rx_flow_control(viewer->connection, 1);
    if (!viewer->session->output().empty()) lws_callback_on_writable(viewer->connection);
  }
}

int WebServer::Parts::on_screen(lws* connection, lws_callback_reasons reason, void* user, void* in,
                                size_t length) {
  Parts& parts = of(connection);
  auto* slot = static_cast<web::Slot*>(user);
  switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return parts.may_enter(connection, parts.viewers.size()) ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED:
      parts.open_viewer(connection, slot);
      return 0;
    case LWS_CALLBACK_RECEIVE:
      return parts.receive(*slot->viewer, {static_cast<const uint8_t*>(in), length});
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return parts.write(*slot->viewer);
    case LWS_CALLBACK_CLOSED:
      if (slot->viewer == nullptr) return 0;
      slot->viewer->session->leave();
      std::erase_if(parts.viewers, [&](const auto& each) { return each.get() == slot->viewer; });
      slot->viewer = nullptr;
      return 0;
    default:
      return 0;
  }
}

// ---- the control channel ----

void WebServer::Parts::say(web::Controller& controller, std::string message) {
  if (controller.waiting + message.size() > kMostWaiting) return;
  controller.waiting += message.size();
  controller.messages.push_back(std::move(message));
  lws_callback_on_writable(controller.connection);
}

int WebServer::Parts::write(web::Controller& controller) {
  if (controller.messages.empty()) return 0;
  const std::string message = std::move(controller.messages.front());
  controller.messages.erase(controller.messages.begin());
  controller.waiting -= message.size();
  std::vector<uint8_t> bytes(LWS_PRE);
  bytes.insert(bytes.end(), message.begin(), message.end());
  if (lws_write(controller.connection, bytes.data() + LWS_PRE, message.size(), LWS_WRITE_TEXT) <
      0) {
    return -1;
  }
  if (!controller.messages.empty()) lws_callback_on_writable(controller.connection);
  return 0;
}

void WebServer::Parts::obey(std::string_view message) {
  constexpr std::string_view kType = "type:";
  if (message.substr(0, kType.size()) == kType) {
    const std::string_view text = message.substr(kType.size());
    control.type({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  } else if (message == "reset") {
    (void)control.wish(HostInput::Kind::Reset);
  } else if (message == "power" && control.has_power_button()) {
    (void)control.wish(HostInput::Kind::PowerButton);
  } else if (message == "quit") {
    (void)control.wish(HostInput::Kind::Quit);
  } else if (message == "save" && config.can_save) {
    (void)control.wish(HostInput::Kind::Save);
  }
}

void WebServer::Parts::tell(web::Controller& controller) {
  const std::string said = control.output_since(&controller.place);
  if (!said.empty()) say(controller, "{\"serial\":" + quoted(said) + "}");
  if (ticks % kTicksBetweenFigures != 1) return;
  const char* state = control.has_machine() ? "running" : "between two lives";
  std::string message = std::string("{\"state\":\"") + state + "\"";
  message += std::string(",\"can_save\":") + (config.can_save ? "true" : "false");
  message += std::string(",\"can_power\":") + (control.has_power_button() ? "true" : "false");
  if (!figures.empty()) message += ",\"figures\":" + figures;
  say(controller, message + "}");
}

int WebServer::Parts::on_control(lws* connection, lws_callback_reasons reason, void* user, void* in,
                                 size_t length) {
  Parts& parts = of(connection);
  auto* slot = static_cast<web::Slot*>(user);
  switch (reason) {
    case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
      return parts.may_enter(connection, parts.controllers.size()) ? 0 : -1;
    case LWS_CALLBACK_ESTABLISHED: {
      auto controller = std::make_unique<web::Controller>();
      controller->connection = connection;
      slot->controller = controller.get();
      parts.controllers.push_back(std::move(controller));
      parts.ticks = 0;  // it is told at once
      parts.schedule();
      return 0;
    }
    case LWS_CALLBACK_RECEIVE:
      // A message in pieces is longer than any of the page's.
      if (lws_is_first_fragment(connection) == 0 || lws_is_final_fragment(connection) == 0) {
        return -1;
      }
      parts.obey({static_cast<const char*>(in), length});
      return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
      return parts.write(*slot->controller);
    case LWS_CALLBACK_CLOSED:
      std::erase_if(parts.controllers,
                    [&](const auto& each) { return each.get() == slot->controller; });
      return 0;
    default:
      return 0;
  }
}

// ---- time ----

void WebServer::Parts::tick() {
  is_ticking = false;
  ++ticks;
  const bool is_looked_at = std::any_of(viewers.begin(), viewers.end(), [](const auto& viewer) {
    return viewer->session->waits_for_screen();
  });
  if (is_looked_at) (void)feed.ask(PictureFeed::Clock::now());
  (void)control.take_figures(&figures);
  if (!controllers.empty() && ticks % kTicksBetweenFigures == 2) control.ask_figures();
  for (const auto& controller : controllers) tell(*controller);
  schedule();
}

// Nothing is done while no page is open.
void WebServer::Parts::schedule() {
  if (is_ticking || (viewers.empty() && controllers.empty())) return;
  is_ticking = true;
  lws_sul_schedule(context, 0, &timer.list, on_timer, kTick);
}

void WebServer::Parts::on_timer(lws_sorted_usec_list_t* list) {
  reinterpret_cast<Timer*>(list)->parts->tick();  // it is its first member
}

// ---- the server ----

bool WebServer::Parts::listen(std::string* error) {
  page = web_page(access.nonce());
  timer.parts = this;
  protocols[0] = {"http", on_http, 0, kLongestMessage, 0, nullptr, 0};
  protocols[1] = {"rfb", on_screen, sizeof(web::Slot), kLongestMessage, 0, nullptr, 0};
  protocols[2] = {"control", on_control, sizeof(web::Slot), kLongestMessage, 0, nullptr, 0};
  context = access.listen(config.port, protocols.data(), this, 2 * kMostConnections, error);
  if (context == nullptr) *error = "--display web: " + *error;
  return context != nullptr;
}

WebServer::WebServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
WebServer::~WebServer() = default;

std::unique_ptr<WebServer> WebServer::create(const WebServerConfig& config, ScreenPort& screen,
                                             ControlPort& control, std::string* error) {
  auto parts = std::make_unique<Parts>(config, screen, control);
  if (!parts->listen(error)) return nullptr;
  screen.set_on_screen([context = parts->context] { lws_cancel_service(context); });
  return std::unique_ptr<WebServer>(new WebServer(std::move(parts)));
}

void WebServer::start() {
  Parts* parts = parts_.get();
  parts->thread.start("web", [parts] {
    while (!parts->thread.is_stopping() && lws_service(parts->context, 0) >= 0) {
    }
  });
}

std::string WebServer::where() const { return parts_->access.address(); }

}  // namespace ringshift
