#include "monitor/manager/manager.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "monitor/host/exit_codes.h"
#include "shadowmmu/base/host_connection.h"

namespace ringshift::manager {
namespace {

using control::JsonValue;
using Object = JsonValue::Object;

constexpr Nanoseconds kSecond = 1'000'000'000;
constexpr size_t kMostClients = 64, kMostMachines = 256;

JsonValue failure(const std::string& problem) {
  return Object{{"problem", problem}, {"done", kExitUsage}};
}

}  // namespace

Manager::~Manager() {
  if (listener_ >= 0) close(listener_);
}

Manager::Opened Manager::open(std::string* problem) {
  if (!lock_.take(folder_.lock())) {
    if (errno == EWOULDBLOCK) return Opened::IsRunning;
    *problem = "cannot lock " + folder_.lock() + ": " + std::strerror(errno);
    return Opened::No;
  }
  if (!events_.open(folder_.events())) {
    *problem = "cannot write " + folder_.events() + ": " + std::strerror(errno);
    return Opened::No;
  }
  if (!signals_.open({SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE})) {
    *problem = std::string("the host refuses signals: ") + std::strerror(errno);
    return Opened::No;
  }
  listener_ = listen_at(folder_.manager(), problem);
  if (listener_ < 0) return Opened::No;
  events_.add("", "manager-began", "process " + std::to_string(getpid()));
  adopt_all();
  return Opened::Yes;
}

void Manager::adopt_all() {
  for (const std::string& name : machine_names(folder_)) {
    auto machine = std::make_unique<ManagedMachine>(name, folder_.machine(name), events_);
    machine->adopt();
    machines_[name] = std::move(machine);
  }
}

int Manager::run() {
  while (!is_ending_ || !all_have_ended()) serve_once();
  events_.add("", "manager-ended");
  for (const auto& [name, machine] : machines_) {
    if (forgets_) remove_machine_folder(folder_.machine(name));
  }
  (void)unlink(folder_.manager().c_str());
  is_over_ = true;
  for (Client& client : clients_) tell(&client);
  return 0;
}

bool Manager::all_have_ended() const {
  return std::none_of(machines_.begin(), machines_.end(),
                      [](const auto& each) { return each.second->is_there(); });
}

void Manager::serve_once() {
  constexpr int kSoon = 20;  // ms
  std::vector<pollfd> waiting{{signals_.descriptor(), POLLIN, 0},
                              {clients_.size() < kMostClients ? listener_ : -1, POLLIN, 0}};
  size_t at = waiting.size();
  bool is_in_motion = false;
  for (const auto& [name, machine] : machines_) {
    machine->add_to(&waiting);
    is_in_motion = is_in_motion || machine->is_in_motion();
  }
  for (const Client& client : clients_) waiting.push_back(client.wire.waiting_for());
  if (poll(waiting.data(), waiting.size(), is_in_motion ? kSoon : -1) < 0) return;
  for (const auto& [name, machine] : machines_) {
    machine->serve(waiting, at);
    at += ManagedMachine::kDescriptors;
  }
  for (Client& client : clients_) client.wire.serve(waiting[at++].revents);
  take_signals();
  for (Client& client : clients_) take_requests(&client);
  for (Client& client : clients_) tell(&client);
  std::erase_if(clients_, [](const Client& client) {
    return !client.wire.is_open() || client.wire.has_gone() ||
           (client.wire.has_ended() && client.wait == Client::Wait::Nothing);
  });
  for (int socket = 0; clients_.size() < kMostClients && socket >= 0;) {
    socket = accept_connection(listener_);
    if (socket >= 0) clients_.emplace_back(socket);
  }
}

void Manager::take_signals() {
  constexpr Nanoseconds kGrace = 10 * kSecond;
  while (const int number = signals_.take()) {
    if (number == SIGTERM || number == SIGINT || number == SIGHUP) begin_to_end(kGrace);
  }
  while (waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

// Machines do not survive this by accident: who ends the manager ends them.
void Manager::begin_to_end(Nanoseconds grace) {
  is_ending_ = true;
  for (const auto& [name, machine] : machines_) machine->stop(grace);
}

// ---- clients ----

ManagedMachine* Manager::find(const std::string& name) {
  const auto found = machines_.find(name);
  return found != machines_.end() ? found->second.get() : nullptr;
}

void Manager::take_requests(Client* client) {
  while (const std::optional<JsonValue> request = client->wire.take_message()) {
    answer(client, *request);
  }
}

void Manager::answer(Client* client, const JsonValue& request) {
  const std::string what = text_of(request, "do");
  if (what == "add") {
    add(client, request);
  } else if (what == "wait") {
    client->wait = Client::Wait::Start;
    client->names = texts_of(request, "names");
  } else if (what == "ps") {
    describe(client, request);
  } else if (what == "stop" || what == "kill") {
    end_some(client, request, what == "kill");
  } else if (what == "events") {
    client->wait = Client::Wait::Events;
    tell_events(client);
    if (flag_of(request, "follow")) return;
    client->wait = Client::Wait::Nothing;
    client->wire.say(Object{{"done", 0}});
  } else if (what == "down") {
    forgets_ = true;
    begin_to_end(number_of(request, "seconds") * kSecond);
    client->wait = Client::Wait::ManagersEnd;
    for (const auto& [name, machine] : machines_) {
      if (machine->is_there()) client->names.push_back(name);
    }
  } else {
    client->wire.say(failure("the manager does not know '" + what + "'"));
  }
}

void Manager::add(Client* client, const JsonValue& request) {
  const std::string name = text_of(request, "name");
  const std::vector<std::string> words = texts_of(request, "words");
  std::string problem;
  ManagedMachine* machine = find(name);
  if (!is_machine_name(name)) {
    problem = "'" + name + "' is no name of a machine";
  } else if (is_ending_) {
    problem = "the manager is ending";
  } else if (machine != nullptr && machine->is_there()) {
    if (machine->words() != words) {
      problem = name + " is " + word_of(machine->state()) + " with other options; stop it first";
    }
  } else if (machine == nullptr && machines_.size() >= kMostMachines) {
    problem = std::to_string(kMostMachines) + " machines are the most";
  } else {
    if (machine == nullptr) {
      machines_[name] = std::make_unique<ManagedMachine>(name, folder_.machine(name), events_);
      machine = find(name);
    }
    if (!machine->start(words, text_of(request, "folder"), &problem)) machines_.erase(name);
  }
  if (!problem.empty()) client->wire.say(failure(problem));
}

void Manager::end_some(Client* client, const JsonValue& request, bool kills) {
  std::vector<std::string> names = texts_of(request, "names");
  if (flag_of(request, "all")) {
    for (const auto& [name, machine] : machines_) {
      if (machine->is_there()) names.push_back(name);
    }
  }
  for (const std::string& name : names) {
    if (find(name) == nullptr) {
      client->wire.say(failure("there is no machine " + name));
      return;
    }
  }
  for (const std::string& name : names) {
    if (kills) {
      find(name)->kill();
    } else {
      find(name)->stop(number_of(request, "seconds") * kSecond);
    }
  }
  client->wait = Client::Wait::End;
  client->names = names;
}

void Manager::describe(Client* client, const JsonValue& request) {
  for (const auto& [name, machine] : machines_) {
    if (flag_of(request, "figures") && machine->is_there()) machine->ask_for_statistics();
    if (flag_of(request, "screens") && machine->is_there()) machine->ask_for_screen();
    client->wire.say(machine->description());
  }
  client->wire.say(Object{{"done", 0}});
}

// The event or the state that the client waits for may have come.
void Manager::tell(Client* client) {
  if (client->wait == Client::Wait::Events) tell_events(client);
  if (client->wait == Client::Wait::Nothing || client->wait == Client::Wait::Events) return;
  if (client->wait == Client::Wait::ManagersEnd && !is_over_) return;
  for (const std::string& name : client->names) {
    const ManagedMachine* const machine = find(name);
    if (machine == nullptr) continue;
    const bool is_done =
        client->wait == Client::Wait::Start ? machine->has_settled() : !machine->is_there();
    if (!is_done) return;
  }
  for (const std::string& name : client->names) {
    if (const ManagedMachine* const machine = find(name)) {
      client->wire.say(machine->description());
    }
  }
  client->wait = Client::Wait::Nothing;
  client->wire.say(Object{{"done", 0}});
}

void Manager::tell_events(Client* client) {
  for (const Event& event : events_.all()) {
    if (event.number < client->next_event) continue;
    client->wire.say(message_of(event));
    client->next_event = event.number + 1;
  }
}

}  // namespace ringshift::manager
