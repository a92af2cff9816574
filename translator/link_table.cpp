#include "translator/link_table.h"

#include "shadowmmu/base/check.h"

namespace ringshift {

void LinkTable::add(FragmentKind kind, Fragment& from, const EmittedLink& emitted) {
  Link link;
  link.from = &from;
  link.emitted = emitted;
  (kind == FragmentKind::Copy ? copies_ : originals_).push_back(link);
}

void LinkTable::connect(uint32_t number, Fragment& to) {
  Link& link = (*this)[number];
  DCHECK(link.to == nullptr);
  link.to = &to;
  link.previous_incoming = kNoLink;
  link.next_incoming = to.first_incoming;
  if (to.first_incoming != kNoLink) (*this)[to.first_incoming].previous_incoming = number;
  to.first_incoming = number;
}

void LinkTable::disconnect(uint32_t number) {
  Link& link = (*this)[number];
  if (link.previous_incoming == kNoLink) {
    link.to->first_incoming = link.next_incoming;
  } else {
    (*this)[link.previous_incoming].next_incoming = link.next_incoming;
  }
  if (link.next_incoming != kNoLink) {
    (*this)[link.next_incoming].previous_incoming = link.previous_incoming;
  }
  link.to = nullptr;
}

void LinkTable::verify_invariants() const {
  for_each_number([this](uint32_t number) {
    const Link& link = (*this)[number];
    if (link.to == nullptr) return;
    CHECK(link.from != nullptr && !link.from->is_dropped && !link.to->is_dropped);
    const bool is_first = link.previous_incoming == kNoLink;
    const uint32_t before =
        is_first ? link.to->first_incoming : (*this)[link.previous_incoming].next_incoming;
    CHECK(before == number);
    CHECK(is_first || (*this)[link.previous_incoming].to == link.to);
  });
}

}  // namespace ringshift
