// SoftStubEmitter: the stubs of soft accesses, from the soft TLBs and what is beside them in the
// frame. Owns: no code; it leaves the guest's flags as they are. See docs/translator.md, "Memory
// access".
#pragma once

#include <asmjit/x86.h>

#include <cstdint>

#include "shadowmmu/paging_mode.h"

namespace ringshift {

class SoftStubEmitter {
 public:
  explicit SoftStubEmitter(asmjit::x86::Assembler& assembler);

  // Called with a linear address in R8D. Returns with the host address of `size` bytes, which lie
  // in one page, in R8. After a miss the slots of the exit are set, and the code emitted behind
  // leaves.
  void emit(Privilege privilege, bool is_write, uint32_t size);

  void save_flags();
  // Gives EAX back, too.
  void restore_flags();

 private:
  struct Entry {
    int32_t tag;
    int32_t addend;
    int32_t readable;    // the tag for reads
    int32_t code_bytes;  // Frame::code_bytes
  };
  void emit_with_bmi2(Privilege privilege, bool is_write, uint32_t size, const Entry& entry);
  void emit_plainly(Privilege privilege, bool is_write, uint32_t size, const Entry& entry);
  void emit_table_store_with_bmi2();
  void emit_table_store_plainly();
  void mark_table();
  void emit_store_beside_code_with_bmi2(uint32_t size, const Entry& entry);
  void emit_store_beside_code_plainly(uint32_t size, const Entry& entry);
  void emit_watched_part(Privilege privilege, bool is_write, uint32_t size);

  asmjit::x86::Assembler& a_;
  bool has_bmi2_;
};

}  // namespace ringshift
