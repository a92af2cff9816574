// TranslatorMachine: the translator alone, with RAM, a window and the least of a vCPU loop, for
// tests that run guest snippets. Owns: everything, the SIGSEGV handler included while it lives. RAM
// lies at guest-linear 0 and again at kKernelBase; the rest of the window faults.
#pragma once

#include <gtest/gtest.h>
#include <sys/ucontext.h>

#include <array>
#include <csignal>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "shadowmmu/base/check.h"
#include "shadowmmu/guest_memory.h"
#include "shadowmmu/host_mapping.h"
#include "translator/gate.h"
#include "translator/translator.h"

namespace ringshift {

class SafePointForTest {
 public:
  [[nodiscard]] static const SafePoint& get() {
    static const SafePoint token;
    return token;
  }
};

// The signal handler's only way to the machine under test: one machine at a time.
class FaultCatcher {
 public:
  explicit FaultCatcher(Gate& gate) : stack_(64 * 1024) {
    gate_ = &gate;
    stack_t stack{};
    stack.ss_sp = stack_.data();
    stack.ss_size = stack_.size();
    sigaltstack(&stack, &old_stack_);
    struct sigaction action {};
    action.sa_sigaction = &FaultCatcher::on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &old_[i]);
  }
  ~FaultCatcher() {
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &old_[i], nullptr);
    sigaltstack(&old_stack_, nullptr);
    gate_ = nullptr;
  }
  FaultCatcher(const FaultCatcher&) = delete;
  FaultCatcher& operator=(const FaultCatcher&) = delete;

 private:
  static void on_signal(int number, siginfo_t* info, void* context) {
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto pc = static_cast<uint64_t>(registers[REG_RIP]);
    if (gate_ == nullptr || !gate_->owns(pc)) {
      std::signal(number, SIG_DFL);  // a fault of our own: let it kill the test
      return;
    }
    HostFault& fault = gate_->fault_record();
    fault.host_pc = pc;
    fault.address = reinterpret_cast<uint64_t>(info->si_addr);
    fault.signal = static_cast<uint32_t>(number);
    fault.trap_number = static_cast<uint32_t>(registers[REG_TRAPNO]);
    fault.is_write = (registers[REG_ERR] & 2) != 0;  // page-fault error code, SDM 3A 4.7
    registers[REG_RIP] = static_cast<greg_t>(gate_->leave_after_fault());
  }

  static constexpr std::array<int, 4> kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  static inline Gate* gate_ = nullptr;
  std::vector<uint8_t> stack_;
  std::array<struct sigaction, 4> old_{};
  stack_t old_stack_{};
};

// "8b 45 08" -> bytes. Anything after ';' on a line is a comment.
inline std::vector<uint8_t> bytes_of_hex(std::string_view text) {
  std::vector<uint8_t> bytes;
  std::string digits;
  bool comment = false;
  for (char c : text) {
    if (c == '\n') comment = false;
    if (c == ';') comment = true;
    if (comment || std::isxdigit(static_cast<unsigned char>(c)) == 0) continue;
    digits.push_back(c);
    if (digits.size() == 2) {
      bytes.push_back(static_cast<uint8_t>(std::stoul(digits, nullptr, 16)));
      digits.clear();
    }
  }
  return bytes;
}

class TranslatorMachine : public CodeSource,
                          public CodeTraces,
                          public SoftSites,
                          public FragmentObserver {
 public:
  static constexpr uint32_t kRamBytes = 1U << 20;
  static constexpr uint32_t kKernelBase = 0xc0000000U;
  static constexpr uint32_t kCode = 0x1000;  // where snippets start
  static constexpr uint32_t kData = 0x8000;  // a page snippets may use
  static constexpr uint32_t kStack = 0x20000;
  static constexpr uint32_t kUnmapped = 0x40000000;  // in the window, never mapped

  explicit TranslatorMachine(AccessStyle access_style = AccessStyle::Window,
                             TranslatorConfig config = {})
      : style(access_style), jump_table_(kTableEntries + 2) {
    std::string error;
    memory_ = GuestMemory::create(kRamBytes, &error);
    CHECK(memory_ != nullptr);
    CHECK(reserve(kGuardBelow + kWindowBytes + kGuardAbove, kPageSize, &reservation_).ok());
    window_ = reservation_.value() + kGuardBelow;
    map_ram(0);
    map_ram(kKernelBase);
    translator = Translator::create(config, *this, *this, *this, *this, &error);
    CHECK(translator != nullptr);
    gate = Gate::create(translator->stubs(), translator->arena(), &error);
    CHECK(gate != nullptr);
    catcher_ = std::make_unique<FaultCatcher>(*gate);
    reset_state();
  }
  ~TranslatorMachine() override {
    catcher_.reset();
    gate.reset();
    translator.reset();
    CHECK(release(reservation_, kGuardBelow + kWindowBytes + kGuardAbove).ok());
    if (exact_ != nullptr) CHECK(release(HostAddress(exact_address()), kExactBytes).ok());
  }
  TranslatorMachine(const TranslatorMachine&) = delete;
  TranslatorMachine& operator=(const TranslatorMachine&) = delete;

  // -- what a test arranges
  void load(uint32_t linear, std::span<const uint8_t> bytes) {
    std::memcpy(ram(linear), bytes.data(), bytes.size());
  }
  void load(uint32_t linear, std::string_view hex) { load(linear, bytes_of_hex(hex)); }
  [[nodiscard]] uint8_t* ram(uint32_t linear) {
    return memory_->at(GuestPhysical(linear >= kKernelBase ? linear - kKernelBase : linear));
  }
  [[nodiscard]] uint32_t read32(uint32_t linear) {
    uint32_t value = 0;
    std::memcpy(&value, ram(linear), sizeof(value));
    return value;
  }
  void write32(uint32_t linear, uint32_t value) { std::memcpy(ram(linear), &value, sizeof(value)); }
  [[nodiscard]] uint32_t& reg(Gpr which) { return state().reg(which); }
  [[nodiscard]] GuestState& state() { return gate->state(); }
  [[nodiscard]] Slots& slots() { return gate->frame().slots; }
  [[nodiscard]] uint64_t window() const { return window_; }
  // Takes a page of RAM out of the window at 0 (or puts it back), and out of the soft TLB.
  void set_page_access(uint32_t linear, HostAccess access) {
    CHECK(protect(HostAddress(window_ + (linear & ~0xfffU)), kPageSize, access).ok());
    page_access_[linear >> 12] = access;
    flush_soft_tlb();
  }
  void flush_soft_tlb() {
    gate->frame().supervisor_tlb = SoftTlb{};
    gate->frame().user_tlb = SoftTlb{};
  }
  void set_flat_segment(SegmentRegister segment, uint32_t base) {
    state().seg(segment).base = base;
    (segment == SegmentRegister::Fs ? slots().fs_probe : slots().gs_probe) =
        reinterpret_cast<uint64_t>(&readable_);
  }
  void poison_segment(SegmentRegister segment) {
    (segment == SegmentRegister::Fs ? slots().fs_probe : slots().gs_probe) = kNoProbe;
  }

  // -- running
  [[nodiscard]] TranslationKey key_at(uint32_t eip) const {
    TranslationKey key;
    key.eip = Eip(eip);
    key.physical = GuestPhysical(eip >= kKernelBase ? eip - kKernelBase : eip);
    key.privilege = privilege;
    key.style = style;
    key.view = view_id;
    return key;
  }
  [[nodiscard]] Fragment& fragment_at_eip(uint32_t eip) {
    return translator->find_or_make(key_at(eip), SafePointForTest::get());
  }
  [[nodiscard]] Exit run_once() {
    Exit exit = gate->run(fragment_at_eip(state().eip).body(), translator->cache());
    exits[exit.reason]++;
    return exit;
  }
  // Runs until an exit that the least of a vCPU loop cannot answer: Interpret, EventWindow, a fault
  // in the window or at the poll page, a soft access to what is not mapped.
  Exit run() {
    constexpr uint32_t kMostExits = 1000000;
    for (uint32_t i = 0; i < kMostExits; ++i) {
      const Exit exit = run_once();
      if (!answer(exit)) return exit;
    }
    ADD_FAILURE() << "the guest does not stop; EIP " << std::hex << state().eip;
    return {};
  }
  // Answers a SoftMiss; false: there is no RAM, or the access crosses into the next page.
  bool fill_soft_tlb(const Exit& exit) {
    const uint32_t page = GuestVirtualPage::of(exit.address).number();
    const uint32_t address = exit.address.value();
    const uint32_t offset = address >= kKernelBase ? address - kKernelBase : address;
    if (offset >= kRamBytes) return false;
    auto known = page_access_.find(page);
    const HostAccess access = known == page_access_.end() ? HostAccess::ReadWrite : known->second;
    if (access == HostAccess::None || (exit.is_write && access == HostAccess::Read)) return false;
    Frame& frame = gate->frame();
    SoftTlb& tlb = privilege == Privilege::User ? frame.user_tlb : frame.supervisor_tlb;
    SoftTlbEntry& entry = tlb[page % kSoftTlbEntries];
    const uint32_t& tag = exit.is_write ? entry.negated_write_page : entry.negated_read_page;
    if (tag == 0U - page) return false;  // it was a hit: the access crosses into the next page
    if (entry.addend != window_) entry = SoftTlbEntry{};
    entry.addend = window_;
    entry.negated_read_page = 0U - page;
    entry.negated_write_page = access == HostAccess::ReadWrite ? 0U - page : 1;
    return true;
  }
  // A page of RAM that soft accesses of user code find at once.
  void fill_user_page(uint32_t linear) {
    const uint32_t page = linear >> 12;
    SoftTlbEntry& entry = gate->frame().user_tlb[page % kSoftTlbEntries];
    entry.addend = window_;
    entry.negated_read_page = entry.negated_write_page = 0U - page;
  }
  // Loads code at kCode and runs it from there.
  Exit run_code(std::string_view hex) {
    load(kCode, hex);
    state().eip = kCode;
    return run();
  }
  // Loads a snippet at kCode with HLT after it, runs it and expects it to arrive at that HLT.
  void run_snippet(std::string_view hex) {
    std::vector<uint8_t> bytes = bytes_of_hex(hex);
    const uint32_t end = kCode + static_cast<uint32_t>(bytes.size());
    bytes.push_back(0xf4);
    load(kCode, bytes);
    state().eip = kCode;
    const Exit exit = run();
    EXPECT_STREQ(exit_reason_name(exit.reason), "interpret");
    EXPECT_EQ(exit.eip, Eip(end)) << std::hex << exit.eip.value();
    EXPECT_EQ(state().pointer(), exit.eip);
  }
  // User code of a view of its own, from now on.
  void use_exact_jumps() {
    HostAddress mapped;
    CHECK(map_private(kExactBytes, &mapped).ok());
    exact_ = reinterpret_cast<uint32_t*>(mapped.value());
    const uint64_t address = exact_address();
    std::memcpy(jump_table_.data(), &address, sizeof(address));
    privilege = Privilege::User;
    view_id = 1;
  }
  // Drops every translation, as a write to code would.
  void forget_code() { translator->cache().drop_all(SafePointForTest::get()); }
  void set_jump_table(const Fragment& fragment) {
    const auto offset = static_cast<uint32_t>(fragment.code.address - translator->arena().base());
    jump_table()[jump_table_index(fragment.key.eip)] = offset;
    if (exact_ != nullptr) exact_[fragment.key.eip.value()] = offset + fragment.body_offset;
  }

  AccessStyle style = AccessStyle::Window;
  Privilege privilege = Privilege::Supervisor;
  uint32_t view_id = 0;
  bool link_branches = true;
  std::unordered_set<uint64_t> soft_sites;  // guest-physical addresses of instructions
  std::map<ExitReason, uint32_t> exits;
  uint32_t return_stack_resets = 0;
  uint32_t odd_returns = 0;
  std::vector<uint64_t> traced_pages;
  std::unique_ptr<Translator> translator;
  std::unique_ptr<Gate> gate;

  // -- what the translator asks for
  [[nodiscard]] const KeptOut* kept_out() const override {
    return kept_out_addresses.empty() ? nullptr : &kept_out_addresses;
  }
  KeptOut kept_out_addresses;
  [[nodiscard]] std::span<const uint8_t> code_at(GuestVirtual address, Privilege,
                                                 GuestPhysical* physical) override {
    const uint32_t linear = address.value();
    const uint32_t offset = linear >= kKernelBase ? linear - kKernelBase : linear;
    if (offset >= kRamBytes) return {};
    *physical = GuestPhysical(offset);
    return {memory_->at(*physical), kPageSize - address.offset_in_page()};
  }
  void ensure_code_trace(GuestPhysical first, uint32_t /*length*/) override {
    traced_pages.push_back(GuestPhysicalPage::of(first).number());
  }
  [[nodiscard]] bool is_soft(GuestPhysical instruction) const override {
    return soft_sites.contains(instruction.value());
  }
  void on_fragment_dropped(const Fragment& fragment) override {
    jump_table()[jump_table_index(fragment.key.eip)] = 0;
    if (exact_ != nullptr) exact_[fragment.key.eip.value()] = 0;
    reset_return_stacks();
  }
  void on_copies_dropped() override { on_all_dropped(); }
  void on_all_dropped() override {
    std::fill(jump_table(), jump_table() + kTableEntries, 0U);
    if (exact_ != nullptr) CHECK(discard(HostAddress(exact_address()), kExactBytes).ok());
    reset_return_stacks();
  }

 private:
  void reset_return_stacks() {
    gate->reset_return_stack(Privilege::Supervisor);
    gate->reset_return_stack(Privilege::User);
  }

  // Folded displacements reach almost 2 GiB above a register, bit strings 256 MiB either way.
  static constexpr uint64_t kGuardBelow = uint64_t{4} << 30;
  static constexpr uint64_t kWindowBytes = uint64_t{4} << 30;
  static constexpr uint64_t kGuardAbove = uint64_t{4} << 30;

  void map_ram(uint32_t linear) {
    CHECK(map_fixed(HostAddress(window_ + linear), memory_->descriptor(), 0, kRamBytes,
                    HostAccess::ReadWrite)
              .ok());
  }

  void reset_state() {
    GuestState& guest = state();
    guest.cr0 = kCr0Pe | kCr0Et;
    guest.reg(Gpr::Esp) = kStack;
    guest.fxsave[0] = 0x7f;  // FCW and MXCSR after FNINIT and at reset: all exceptions masked
    guest.fxsave[1] = 0x03;
    guest.fxsave[24] = 0x80;
    guest.fxsave[25] = 0x1f;
    Slots& guest_slots = slots();
    guest_slots.window_base = window_;
    guest_slots.window_negated = 0U - window_;
    guest_slots.jump_table = reinterpret_cast<uint64_t>(jump_table());
    set_flat_segment(SegmentRegister::Fs, 0);
    set_flat_segment(SegmentRegister::Gs, 0);
  }

  // False: the caller of run() is to see this exit.
  bool answer(const Exit& exit) {
    switch (exit.reason) {
      case ExitReason::Unlinked: {
        const uint64_t epoch = translator->cache().epoch();
        Fragment& next = fragment_at_eip(exit.eip.value());
        if (link_branches && translator->cache().epoch() == epoch) {
          translator->cache().link(exit.link, next, SafePointForTest::get());
        }
        return true;
      }
      case ExitReason::IndirectMiss:
        set_jump_table(fragment_at_eip(exit.eip.value()));
        return true;
      case ExitReason::EnsureFpu:
        slots().fpu_loaded = slots().x87_live = slots().sse_live = 1;
        return true;
      case ExitReason::SoftMiss:
        return fill_soft_tlb(exit);
      case ExitReason::HostFault:
        if (gate->is_return_check(exit.fault.address)) {
          gate->empty_return_stack(privilege);
          odd_returns++;
          return true;
        }
        if (!gate->is_return_stack_guard(exit.fault.address)) return false;
        reset_return_stacks();
        return_stack_resets++;
        return true;
      case ExitReason::Interpret:
      case ExitReason::EventWindow:
      default:
        return false;
    }
  }

  std::unique_ptr<GuestMemory> memory_;
  HostAddress reservation_;
  uint64_t window_ = 0;
  static constexpr size_t kTableEntries = 65536;
  static constexpr size_t kExactBytes = (uint64_t{1} << 32) * sizeof(uint32_t);
  [[nodiscard]] uint32_t* jump_table() { return jump_table_.data() + 2; }
  [[nodiscard]] uint64_t exact_address() const { return reinterpret_cast<uint64_t>(exact_); }
  std::vector<uint32_t> jump_table_;  // behind the address of the exact one
  uint32_t* exact_ = nullptr;
  std::map<uint32_t, HostAccess> page_access_;
  uint64_t readable_ = 0;
  std::unique_ptr<FaultCatcher> catcher_;
};

// Most families behave alike in both styles: their tests run in each.
class BothStyles : public ::testing::TestWithParam<AccessStyle> {
 protected:
  TranslatorMachine machine_{GetParam()};
};
inline std::string style_name(const ::testing::TestParamInfo<AccessStyle>& info) {
  return info.param == AccessStyle::Soft ? "Soft" : "Window";
}

}  // namespace ringshift
