#include "monitor/debug/gdb/registers.h"

#include <fmt/format.h>

#include <cstring>

#include "monitor/debug/gdb/registers_x87.h"
#include "shadowmmu/base/check.h"

namespace ringshift::debug {
namespace {

constexpr unsigned kX87Registers = 8;

void add_general(std::vector<Register>* all) {
  static constexpr const char* kNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
  for (uint8_t i = 0; i < kGprCount; ++i) {
    const bool points = i == 4 || i == 5;
    all->push_back({kNames[i], points ? "data_ptr" : "int32", 32, RegisterClass::General, i});
  }
  all->push_back({"eip", "code_ptr", 32, RegisterClass::InstructionPointer});
  all->push_back({"eflags", "i386_eflags", 32, RegisterClass::Eflags});
  static constexpr std::pair<const char*, SegmentRegister> kSelectors[] = {
      {"cs", SegmentRegister::Cs}, {"ss", SegmentRegister::Ss}, {"ds", SegmentRegister::Ds},
      {"es", SegmentRegister::Es}, {"fs", SegmentRegister::Fs}, {"gs", SegmentRegister::Gs}};
  for (const auto& [name, segment] : kSelectors) {
    all->push_back({name, "int32", 32, RegisterClass::Selector, static_cast<uint8_t>(segment)});
  }
}

void add_x87(std::vector<Register>* all) {
  for (uint8_t i = 0; i < kX87Registers; ++i) {
    all->push_back({fmt::format("st{}", i), "i387_ext", 80, RegisterClass::X87, i});
  }
  static constexpr const char* kNames[] = {"fctrl", "fstat", "ftag",  "fiseg",
                                           "fioff", "foseg", "fooff", "fop"};
  for (uint8_t i = 0; i < kX87Registers; ++i) {
    all->push_back({kNames[i], "int", 32, RegisterClass::X87State, i});
  }
}

void add_sse(std::vector<Register>* all) {
  for (uint8_t i = 0; i < 8; ++i) {
    all->push_back({fmt::format("xmm{}", i), "vec128", 128, RegisterClass::Xmm, i});
  }
  all->push_back({"mxcsr", "i386_mxcsr", 32, RegisterClass::Mxcsr});
}

void add_system(std::vector<Register>* all) {
  for (const uint8_t i : std::initializer_list<uint8_t>{0, 2, 3, 4}) {
    all->push_back({fmt::format("cr{}", i), "int32", 32, RegisterClass::Control, i});
  }
  for (const uint8_t i : std::initializer_list<uint8_t>{0, 1, 2, 3, 6, 7}) {
    all->push_back({fmt::format("dr{}", i), "int32", 32, RegisterClass::Debug, i});
  }
  static constexpr const char* kNames[] = {"efer",      "cpl",        "gdtr_base", "gdtr_limit",
                                           "idtr_base", "idtr_limit", "ldtr",      "tr",
                                           "fs_base",   "gs_base"};
  for (uint8_t i = 0; i < static_cast<uint8_t>(std::size(kNames)); ++i) {
    const bool is_efer = static_cast<SystemField>(i) == SystemField::Efer;
    all->push_back(
        {kNames[i], is_efer ? "int64" : "int32", is_efer ? 64U : 32U, RegisterClass::System, i});
  }
}

std::vector<Register> make_registers() {
  std::vector<Register> all;
  add_general(&all);
  add_x87(&all);
  add_sse(&all);
  add_system(&all);
  return all;
}

// gdb looks for these two features by name; the third is ours.
constexpr char kCoreTypes[] =
    "<flags id=\"i386_eflags\" size=\"4\">"
    "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"\" start=\"1\" end=\"1\"/>"
    "<field name=\"PF\" start=\"2\" end=\"2\"/><field name=\"AF\" start=\"4\" end=\"4\"/>"
    "<field name=\"ZF\" start=\"6\" end=\"6\"/><field name=\"SF\" start=\"7\" end=\"7\"/>"
    "<field name=\"TF\" start=\"8\" end=\"8\"/><field name=\"IF\" start=\"9\" end=\"9\"/>"
    "<field name=\"DF\" start=\"10\" end=\"10\"/><field name=\"OF\" start=\"11\" end=\"11\"/>"
    "<field name=\"NT\" start=\"14\" end=\"14\"/><field name=\"RF\" start=\"16\" end=\"16\"/>"
    "<field name=\"VM\" start=\"17\" end=\"17\"/><field name=\"AC\" start=\"18\" end=\"18\"/>"
    "<field name=\"VIF\" start=\"19\" end=\"19\"/><field name=\"VIP\" start=\"20\" end=\"20\"/>"
    "<field name=\"ID\" start=\"21\" end=\"21\"/></flags>";
constexpr char kSseTypes[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
    "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
    "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
    "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
    "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
    "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
    "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\">"
    "<field name=\"IE\" start=\"0\" end=\"0\"/><field name=\"DE\" start=\"1\" end=\"1\"/>"
    "<field name=\"ZE\" start=\"2\" end=\"2\"/><field name=\"OE\" start=\"3\" end=\"3\"/>"
    "<field name=\"UE\" start=\"4\" end=\"4\"/><field name=\"PE\" start=\"5\" end=\"5\"/>"
    "<field name=\"DAZ\" start=\"6\" end=\"6\"/><field name=\"IM\" start=\"7\" end=\"7\"/>"
    "<field name=\"DM\" start=\"8\" end=\"8\"/><field name=\"ZM\" start=\"9\" end=\"9\"/>"
    "<field name=\"OM\" start=\"10\" end=\"10\"/><field name=\"UM\" start=\"11\" end=\"11\"/>"
    "<field name=\"PM\" start=\"12\" end=\"12\"/><field name=\"FZ\" start=\"15\" end=\"15\"/>"
    "</flags>";

enum class Feature : uint8_t { Core, Sse, System };

Feature feature_of(RegisterClass kind) {
  switch (kind) {
    case RegisterClass::Xmm:
    case RegisterClass::Mxcsr:
      return Feature::Sse;
    case RegisterClass::Control:
    case RegisterClass::Debug:
    case RegisterClass::System:
      return Feature::System;
    default:
      return Feature::Core;
  }
}

std::string feature_text(const char* name, const char* types, Feature feature) {
  std::string text = fmt::format("<feature name=\"{}\">{}\n", name, types);
  for (const Register& each : registers()) {
    if (feature_of(each.kind) != feature) continue;
    const char* group = "";
    if (each.kind == RegisterClass::X87State) group = " group=\"float\"";
    if (feature == Feature::System) group = " group=\"system\"";
    text += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\"{}/>\n", each.name, each.bits,
                        each.type, group);
  }
  return text + "</feature>\n";
}

uint64_t system_field(const GuestState& state, SystemField which) {
  switch (which) {
    case SystemField::Efer:
      return state.efer;
    case SystemField::Cpl:
      return state.cpl;
    case SystemField::GdtrBase:
      return state.gdtr.base;
    case SystemField::GdtrLimit:
      return state.gdtr.limit;
    case SystemField::IdtrBase:
      return state.idtr.base;
    case SystemField::IdtrLimit:
      return state.idtr.limit;
    case SystemField::Ldtr:
      return state.ldtr.selector;
    case SystemField::Tr:
      return state.tr.selector;
    case SystemField::FsBase:
      return state.seg(SegmentRegister::Fs).base;
    case SystemField::GsBase:
      return state.seg(SegmentRegister::Gs).base;
  }
  UNREACHABLE();
}

uint32_t control_register(const GuestState& state, unsigned number) {
  switch (number) {
    case 0:
      return state.cr0;
    case 2:
      return state.cr2;
    case 3:
      return state.cr3;
    default:
      return state.cr4;
  }
}

uint64_t plain_value(const GuestState& state, const Register& which) {
  switch (which.kind) {
    case RegisterClass::General:
      return state.gpr[which.index];
    case RegisterClass::InstructionPointer:
      return state.eip;
    case RegisterClass::Eflags:
      return state.eflags;
    case RegisterClass::Selector:
      return state.segment[which.index].selector;
    case RegisterClass::X87State:
      return x87_state(state, static_cast<X87Field>(which.index));
    case RegisterClass::Mxcsr:
      return fxsave_field<uint32_t>(state, kMxcsr);
    case RegisterClass::Control:
      return control_register(state, which.index);
    case RegisterClass::Debug:
      return state.dr[which.index];
    case RegisterClass::System:
      return system_field(state, static_cast<SystemField>(which.index));
    case RegisterClass::X87:
    case RegisterClass::Xmm:
      break;
  }
  UNREACHABLE();
}

// Where a register that is plain bytes lies in the FXSAVE image; 0: it is none.
size_t image_offset(const Register& which) {
  if (which.kind == RegisterClass::X87) return kSt + kSlot * which.index;
  return which.kind == RegisterClass::Xmm ? kXmm + kSlot * which.index : 0;
}

}  // namespace

const std::vector<Register>& registers() {
  static const std::vector<Register> all = make_registers();
  return all;
}

uint32_t all_register_bytes() {
  uint32_t sum = 0;
  for (const Register& each : registers()) sum += each.bytes();
  return sum;
}

const std::string& target_description() {
  static const std::string text =
      "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
      "<target version=\"1.0\"><architecture>i386</architecture>\n" +
      feature_text("org.gnu.gdb.i386.core", kCoreTypes, Feature::Core) +
      feature_text("org.gnu.gdb.i386.sse", kSseTypes, Feature::Sse) +
      feature_text("ringshift.i386.system", "", Feature::System) + "</target>\n";
  return text;
}

void read_register(const GuestState& state, const Register& which, std::span<uint8_t> value) {
  CHECK(value.size() == which.bytes());
  if (const size_t at = image_offset(which); at != 0) {
    std::memcpy(value.data(), &state.fxsave[at], value.size());
    return;
  }
  const uint64_t plain = plain_value(state, which);
  std::memcpy(value.data(), &plain, value.size());
}

bool write_register(GuestState* state, const Register& which, std::span<const uint8_t> value) {
  CHECK(value.size() == which.bytes());
  if (const size_t at = image_offset(which); at != 0) {
    std::memcpy(&state->fxsave[at], value.data(), value.size());
    return true;
  }
  uint32_t plain = 0;
  std::memcpy(&plain, value.data(), sizeof(plain));
  // Flags that choose the processor's mode cannot be set from outside.
  constexpr uint32_t kFlagsWritable = kFlagsArithmetic | kFlagTf | kFlagIf | kFlagDf | kFlagIopl |
                                      kFlagNt | kFlagRf | kFlagAc | kFlagId;
  constexpr uint32_t kMxcsrDefined = 0xffff;
  switch (which.kind) {
    case RegisterClass::General:
      state->gpr[which.index] = plain;
      return true;
    case RegisterClass::InstructionPointer:
      state->eip = plain;
      return true;
    case RegisterClass::Eflags:
      state->eflags = (state->eflags & ~kFlagsWritable) | (plain & kFlagsWritable);
      return true;
    case RegisterClass::X87State:
      set_x87_state(state, static_cast<X87Field>(which.index), plain);
      return true;
    case RegisterClass::Mxcsr:
      set_fxsave_field(state, kMxcsr, plain & kMxcsrDefined);
      return true;
    default:
      return false;
  }
}

}  // namespace ringshift::debug
