// PageTemplate: the originals of one guest-physical page and one access style, side by side and
// joined to each other. An address space that has the page at another address gets all of them in
// one copy. A value; made and used by the translation cache. Keeps: T1. See docs/translator.md.
#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <cstdint>
#include <vector>

#include "translator/emitted_code.h"
#include "translator/fragment.h"
#include "translator/translation_unit.h"

namespace ringshift {

// All EIPs, those inside the code too, are offsets from the page's linear address.
struct PageTemplate {
  static constexpr uint32_t kNoEntry = ~0U;

  struct Branch {
    EmittedLink emitted;
    uint32_t leads_to = kNoEntry;  // the entry whose code this one's has been joined to
  };
  struct Entry {
    GuestPhysical physical;
    Eip eip;
    uint32_t place = 0;  // of its code, in `bytes`
    uint32_t size = 0;
    uint32_t body_offset = 0;
    uint32_t cold_offset = 0;
    uint32_t instruction_count = 0;
    Eip shape_eip;  // as it is: of the fragment that the shape was made for
    boost::intrusive_ptr<const FragmentShape> shape;
    uint32_t first_branch = 0;
    uint32_t branch_count = 0;
    uint32_t first_piece = 0;
    uint32_t piece_count = 0;
  };

  uint32_t models = 0;  // there were when it was made; not all can be in it
  std::vector<Entry> entries;
  std::vector<Branch> branches;
  std::vector<CodePiece> pieces;
  std::vector<uint8_t> bytes;           // the code for host address 0
  std::vector<Relocation> relocations;  // offsets into `bytes`
};

}  // namespace ringshift
