#include "monitor/boot/boot_acpi.h"

#include <cstring>
#include <string_view>
#include <vector>

#include "devices/board/pci_board.h"
#include "devices/interrupts/io_apic.h"
#include "devices/interrupts/local_apic.h"
#include "devices/timers/hpet.h"
#include "monitor/boot/aml.h"
#include "monitor/boot/boot_layout.h"
#include "shadowmmu/base/check.h"

namespace ringshift {
namespace {

using aml::append;
using aml::Bytes;
using aml::put;

constexpr unsigned kHeaderBytes = 36;
constexpr unsigned kSciLine = 9;
constexpr uint8_t kIoApicId = 1;

// MADT and MP interrupt flags: active high; edge or level triggered.
constexpr uint16_t kActiveHighLevel = 0x0d;

// Puts tables into memory one after the other.
class Writer {
 public:
  explicit Writer(GuestMemory& memory) : memory_(memory) {}
  uint32_t place(const Bytes& bytes, uint32_t alignment) {
    const uint32_t at = (next_ + alignment - 1) & ~(alignment - 1);
    next_ = at + static_cast<uint32_t>(bytes.size());
    CHECK(next_ <= kBoardTablesEnd);
    std::memcpy(memory_.at(GuestPhysical(at)), bytes.data(), bytes.size());
    return at;
  }

 private:
  GuestMemory& memory_;
  uint32_t next_ = kBoardTables;
};

// All bytes add up to nothing.
void set_checksum(Bytes& table, size_t at) {
  table[at] = 0;
  unsigned sum = 0;
  for (const uint8_t byte : table) sum += byte;
  table[at] = static_cast<uint8_t>(0 - sum);
}

Bytes with_header(std::string_view signature, uint8_t revision, const Bytes& content) {
  Bytes table;
  append(table, signature);
  put(table, kHeaderBytes + content.size(), 4);
  append(table, Bytes{revision, 0});
  append(table, std::string_view("RNGSFTRINGSHFT"));  // OEM, OEM table
  put(table, 1, 4);
  append(table, std::string_view("RNGS"));
  put(table, 1, 4);
  append(table, content);
  set_checksum(table, 9);
  return table;
}

// ---- DSDT ----

// The wires of PciHost, and the lines that PciBoard::set_up has routed them to.
Bytes interrupt_routes() {
  std::vector<Bytes> all;
  for (uint32_t slot = 1; slot < 32; ++slot) {
    for (uint32_t pin = 0; pin < 4; ++pin) {
      const uint8_t line = PciBoard::kPirqLines[(slot + pin + 3) % 4];
      all.push_back(aml::package({aml::integer(slot << 16 | 0xffff), aml::integer(pin),
                                  aml::integer(0), aml::integer(line)}));
    }
  }
  return aml::package(all);
}

Bytes dsdt(uint64_t ram_bytes) {
  constexpr uint32_t kPciRoot = 0x030ad041;  // EISA identifier PNP0A03
  constexpr uint32_t kDeviceMemoryEnd = 0xfebfffff;
  const Bytes windows = aml::resources(
      {aml::range(aml::Space::Bus, 2, 0, 0xff), aml::ports(0xcf8, 8),
       aml::range(aml::Space::Io, 2, 0, 0xcf7), aml::range(aml::Space::Io, 2, 0xd00, 0xffff),
       aml::range(aml::Space::Memory, 4, 0xa0000, 0xbffff),
       aml::range(aml::Space::Memory, 4, static_cast<uint32_t>(ram_bytes), kDeviceMemoryEnd)});
  const Bytes root =
      aml::joined({aml::name("_HID", aml::integer(kPciRoot)), aml::name("_ADR", aml::integer(0)),
                   aml::name("_CRS", windows), aml::name("_PRT", interrupt_routes())});
  const Bytes zero = aml::integer(0);
  // Sleep type 0 of the power management function is soft off.
  return aml::joined({aml::name("_S5_", aml::package({zero, zero, zero, zero})),
                      aml::scope("_SB_", aml::device("PCI0", root))});
}

// ---- the fixed tables ----

void put_port(Bytes& to, uint8_t bits, uint16_t port) {
  append(to, Bytes{1, bits, 0, 1});  // a port, of this many bits, accessed as bytes
  put(to, port, 8);
}

Bytes fadt(uint32_t facs, uint32_t dsdt_at) {
  constexpr uint16_t kPm = PciBoard::kPowerManagementPorts;
  constexpr uint32_t kFlags = 1U << 0 | 1U << 2 | 1U << 5 | 1U << 10;  // WBINVD C1 button reset
  constexpr uint16_t kHasLegacyAndKeyboard = 3;
  Bytes table;
  put(table, facs, 4);
  put(table, dsdt_at, 4);
  append(table, Bytes{0, 0});
  put(table, kSciLine, 2);
  put(table, 0xb2, 4);                     // where ACPI is turned on
  append(table, Bytes{0xf1, 0xf0, 0, 0});  // and with what, and off
  for (const uint32_t port : {kPm + 0U, 0U, kPm + 4U, 0U, 0U, kPm + 8U, 0xafe0U, 0U}) {
    put(table, port, 4);
  }
  append(table, Bytes{4, 2, 0, 4, 4, 0, 0, 0});  // lengths of these
  put(table, 0xfff, 2);                          // C2 and C3 take too long to be used
  put(table, 0xfff, 2);
  table.resize(108 - kHeaderBytes);
  table.push_back(0x32);  // the century in CMOS
  put(table, kHasLegacyAndKeyboard, 2);
  table.push_back(0);
  put(table, kFlags, 4);
  put_port(table, 8, 0xcf9);
  table.push_back(0x06);
  table.resize(244 - kHeaderBytes);
  return with_header("FACP", 3, table);
}

Bytes facs() {
  Bytes table;
  append(table, std::string_view("FACS"));
  put(table, 64, 4);
  table.resize(64);
  return table;
}

void put_override(Bytes& to, uint8_t line, uint32_t input, uint16_t flags) {
  append(to, Bytes{2, 10, 0, line});
  put(to, input, 4);
  put(to, flags, 2);
}

Bytes madt() {
  constexpr uint32_t kHas8259 = 1;
  Bytes table;
  put(table, kLocalApicBase, 4);
  put(table, kHas8259, 4);
  append(table, Bytes{0, 8, 0, 0, 1, 0, 0, 0});  // the processor
  append(table, Bytes{1, 12, kIoApicId, 0});
  put(table, kIoApicBase, 4);
  put(table, 0, 4);
  put_override(table, 0, 2, 0);
  for (const uint8_t line : {uint8_t{kSciLine}, PciBoard::kPirqLines[0], PciBoard::kPirqLines[2]}) {
    put_override(table, line, line, kActiveHighLevel);
  }
  append(table, Bytes{4, 6, 0xff, 0, 0, 1});  // NMI: LINT1
  return with_header("APIC", 1, table);
}

Bytes hpet_table() {
  Bytes table;
  put(table, 0x8086'2201, 4);  // as in the capability register
  append(table, Bytes{0, 64, 0, 0});
  put(table, kHpetBase, 8);
  table.push_back(0);
  put(table, 1000, 2);  // shortest period, in ticks
  table.push_back(0);
  return with_header("HPET", 1, table);
}

// ---- MP tables, for kernels that do not know ACPI ----

Bytes mp_configuration() {
  constexpr uint8_t kInterrupt = 0, kNmi = 1, kExternal = 3;
  Bytes entries;
  unsigned count = 0;
  const auto add = [&](const Bytes& entry) {
    append(entries, entry);
    ++count;
  };
  add({0, 0, 0x14, 3, 0xfb, 6, 0, 0, 0xff, 0xfb, 0xab, 7, 0, 0, 0, 0, 0, 0, 0, 0});
  add({1, 0, 'P', 'C', 'I', ' ', ' ', ' '});
  add({1, 1, 'I', 'S', 'A', ' ', ' ', ' '});
  Bytes io_apic{2, kIoApicId, 0x11, 1};
  put(io_apic, kIoApicBase, 4);
  add(io_apic);
  for (uint8_t line = 0; line < 16; ++line) {
    if (line == 2) continue;  // the cascade
    const bool level =
        line == kSciLine || line == PciBoard::kPirqLines[0] || line == PciBoard::kPirqLines[2];
    const uint8_t flags = level ? kActiveHighLevel : uint8_t{0};
    const uint8_t input = line == 0 ? uint8_t{2} : line;
    add({3, kInterrupt, flags, 0, 1, line, kIoApicId, input});
  }
  add({4, kExternal, 0, 0, 1, 0, 0, 0});
  add({4, kNmi, 0, 0, 1, 0, 0xff, 1});
  Bytes table;
  append(table, std::string_view("PCMP"));
  put(table, 44 + entries.size(), 2);
  append(table, Bytes{4, 0});
  append(table, std::string_view("RINGSHFTVIRTUAL PC  "));
  put(table, 0, 4);
  put(table, 0, 2);
  put(table, count, 2);
  put(table, kLocalApicBase, 4);
  put(table, 0, 4);
  append(table, entries);
  set_checksum(table, 7);
  return table;
}

void write_mp_tables(Writer& writer) {
  const uint32_t configuration = writer.place(mp_configuration(), 16);
  Bytes pointer;
  append(pointer, std::string_view("_MP_"));
  put(pointer, configuration, 4);
  append(pointer, Bytes{1, 4, 0, 0, 0, 0, 0, 0});
  set_checksum(pointer, 10);
  writer.place(pointer, 16);
}

}  // namespace

void write_board_tables(const BoardTables& board, GuestMemory& memory) {
  Writer writer(memory);
  const uint32_t facs_at = writer.place(facs(), 64);
  const uint32_t dsdt_at = writer.place(with_header("DSDT", 1, dsdt(memory.size())), 16);
  std::vector<uint32_t> tables{writer.place(fadt(facs_at, dsdt_at), 16)};
  if (board.apic) tables.push_back(writer.place(madt(), 16));
  if (board.apic && board.hpet) tables.push_back(writer.place(hpet_table(), 16));
  Bytes pointers;
  for (const uint32_t table : tables) put(pointers, table, 4);
  const uint32_t rsdt = writer.place(with_header("RSDT", 1, pointers), 16);
  Bytes root;
  append(root, std::string_view("RSD PTR "));
  root.push_back(0);
  append(root, std::string_view("RNGSFT"));
  root.push_back(0);
  put(root, rsdt, 4);
  set_checksum(root, 8);
  writer.place(root, 16);
  if (board.apic) write_mp_tables(writer);
}

}  // namespace ringshift
