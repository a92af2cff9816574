#include "monitor/machine/processor.h"

#include <x86intrin.h>

#include "monitor/cpu/control_registers.h"
#include "shadowmmu/base/counters.h"

namespace ringshift {

uint64_t HostTimeStampCounter::read() {
  const uint64_t value = scale_.to_guest(uint64_t{__rdtsc()}) + state_.tsc_offset;
  if (tap_ != nullptr) tap_->on_read(0, AccessWidth::Dword, value);
  return value;
}

std::unique_ptr<Processor> Processor::create(const ProcessorSurroundings& in,
                                             const ProcessorConfig& config, std::string* error) {
  auto processor = std::unique_ptr<Processor>(new Processor(in, config));
  if (!processor->build(error)) return nullptr;
  return processor;
}

bool Processor::build(std::string* error) {
  frame_storage_ = FrameStorage::create(error);
  fpu_ = FpuUnit::create(error);
  if (frame_storage_ == nullptr || fpu_ == nullptr) return false;
  frame_ = &frame_storage_->frame();
  reset(state());
  linear_ = std::make_unique<LinearMemory>(in_.physical, state());
  if (!build_translator(error)) return false;
  cpu_ = std::make_unique<CpuContext>(
      CpuContext{state(), *linear_, in_.ports, make_time_stamp(), *spaces_, config_.cpu});
  interpreter_ = std::make_unique<Interpreter>(*cpu_, *fpu_);
  if (events_ != nullptr) interpreter_->set_event_counter(&events_->counter());
  attention_.set_gate(gate_.get());
  return true;
}

TimeStampCounter& Processor::make_time_stamp() {
  if (in_.time_stamp != nullptr) return *in_.time_stamp;
  if (events_ == nullptr) {
    tsc_ = std::make_unique<HostTimeStampCounter>(state(), config_.time_scale);
    return *tsc_;
  }
  event_tsc_ = std::make_unique<EventTimeStampCounter>(state(), events_->counter(),
                                                       config_.event_clock.nanoseconds);
  return *event_tsc_;
}

bool Processor::build_translator(std::string* error) {
  resources_ = std::make_unique<SpaceResources>(*linear_, state(), in_.watch, config_.shadow);
  resources_->refusals.refuse_every(config_.refuse_every);
  spaces_ = AddressSpaces::create(*resources_, sites_, error);
  if (spaces_ == nullptr) return false;
  code_ = std::make_unique<CodeSpace>(*resources_, *spaces_);
  data_ = std::make_unique<DataPaths>(*resources_, *spaces_);
  if (config_.control != nullptr) {
    code_->set_kept_out(&config_.control->kept_out());
    resources_->watched.set(&config_.control->watched_pages());
  }
  TranslatorFeatures& features = config_.translator.features;
  features.sse2_and_later = config_.cpu.sse42;
  features.tzcnt = config_.cpu.bmi1;
  features.host_time_stamp |= in_.time_stamp == nullptr;
  features.counts_events = config_.event_clock.is_used();
  features.event_nanoseconds = config_.event_clock.nanoseconds;
  features.interpret_time |= !config_.time_scale.is_one();
  translator_ = Translator::create(config_.translator, *code_, in_.watch, sites_, *spaces_, error);
  if (translator_ == nullptr) return false;
  gate_ =
      Gate::create(translator_->stubs(), translator_->arena(), error, std::move(frame_storage_));
  if (gate_ == nullptr) return false;
  if (features.counts_events) {
    Slots& slots = gate_->frame().slots;
    events_ = std::make_unique<EventPositions>(EventCounter(
        &slots.event_walk, &slots.event_origin, gate_->event_floor(), Gate::kEventRoom));
  }
  spaces_->attach(*gate_, translator_->cache(), translator_->arena());
  DirectRules rules;
  rules.features = features;
  rules.mxcsr_is_guests = host_mxcsr_mask() == config_.cpu.mxcsr_mask();
  if (in_.direct_host != nullptr) rules.traps = in_.direct_host->traps();
  direct_ = std::make_unique<DirectSpaces>(*resources_, *spaces_, in_.direct_host, rules);
  return true;
}

Vcpu& Processor::make_loop(const LoopSurroundings& in, const VcpuConfig& config) {
  const VcpuParts parts{.cpu = *cpu_,
                        .interpreter = *interpreter_,
                        .interrupts = in.interrupts,
                        .clock = in.clock,
                        .attention = attention_,
                        .translating = TranslatingParts{.spaces = *spaces_,
                                                        .code = *code_,
                                                        .data = *data_,
                                                        .direct = *direct_,
                                                        .sites = sites_,
                                                        .translator = *translator_,
                                                        .gate = *gate_},
                        .deprivileged = in.deprivileged,
                        .control = config_.control,
                        .event_clock = in.event_clock,
                        .events = events_.get(),
                        .service_host = in.service_host,
                        .feed_guest = in.feed_guest,
                        .before_sleep = in.before_sleep};
  loop_ = std::make_unique<Vcpu>(parts, config);
  return *loop_;
}

void Processor::note_state_changed() {
  linear_->flush();
  spaces_->forget_tables();
  spaces_->on_paging_mode_changed();
  gate_->frame().slots.unload_fpu();
}

void Processor::note_memory_map_changed() {
  linear_->flush();
  spaces_->on_memory_map_changed();
}

}  // namespace ringshift
