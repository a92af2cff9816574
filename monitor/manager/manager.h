// Manager: the one process that knows the machines of a run folder: it starts keepers, adopts those
// that an earlier manager has left, reports events, and answers requests at its socket. It is no
// parent of machines: when it is killed they go on, and when it ends they end. Owns: the folder's
// lock and socket, the list of machines, events, the connected clients. See docs/machines.md.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "devices/bus/virtual_clock.h"
#include "monitor/manager/event_log.h"
#include "monitor/manager/machines/managed_machine.h"
#include "monitor/manager/machines/signal_inlet.h"
#include "monitor/manager/run_folder.h"
#include "monitor/manager/wire.h"

namespace ringshift::manager {

class Manager {
 public:
  explicit Manager(RunFolder folder) : folder_(std::move(folder)) {}
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  enum class Opened { Yes, No, IsRunning };
  // Takes the folder and listens. No: with one line in *problem. IsRunning: another one has it.
  [[nodiscard]] Opened open(std::string* problem);
  // Events go to standard output as well.
  void set_echo(bool on) { events_.set_echo(on); }
  // Until SIGTERM, SIGINT or `down`: then all machines are stopped first. The exit code.
  [[nodiscard]] int run();

 private:
  // A client at the socket.
  struct Client {
    explicit Client(int socket) : wire(socket) {}
    Wire wire;
    enum class Wait { Nothing, Start, End, Events, ManagersEnd } wait = Wait::Nothing;
    std::vector<std::string> names;  // of the machines it waits for
    uint64_t next_event = 0;
  };

  void adopt_all();
  void serve_once();
  void take_signals();
  void take_requests(Client* client);
  void answer(Client* client, const control::JsonValue& request);
  void add(Client* client, const control::JsonValue& request);
  void end_some(Client* client, const control::JsonValue& request, bool kills);
  void describe(Client* client, const control::JsonValue& request);
  void begin_to_end(Nanoseconds grace);
  void tell(Client* client);
  void tell_events(Client* client);
  [[nodiscard]] ManagedMachine* find(const std::string& name);
  [[nodiscard]] bool all_have_ended() const;

  RunFolder folder_;
  FileLock lock_;
  SignalInlet signals_;
  EventLog events_;
  int listener_ = -1;
  std::map<std::string, std::unique_ptr<ManagedMachine>> machines_;
  std::list<Client> clients_;
  bool is_ending_ = false, forgets_ = false, is_over_ = false;
};

}  // namespace ringshift::manager
