// Address kinds: guest and host addresses as different types, so that none is taken for another.
// Values only. No implicit construction, no cross-kind arithmetic. See docs/glossary.md for the
// meaning of each word.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace ringshift {

// One address kind. Representation is unsigned; arithmetic with byte counts wraps at its width, as
// the processor's does (SDM 1 3.3.7 for linear addresses).
template <typename Tag, typename Rep>
class Address {
 public:
  using Representation = Rep;
  constexpr Address() = default;
  constexpr explicit Address(Rep value) : value_(value) {}
  [[nodiscard]] constexpr Rep value() const { return value_; }
  [[nodiscard]] constexpr uint32_t offset_in_page() const {
    return static_cast<uint32_t>(value_ & 0xfffU);
  }
  [[nodiscard]] constexpr Address page_base() const {
    return Address(static_cast<Rep>(value_ & ~Rep{0xfff}));
  }
  constexpr auto operator<=>(const Address&) const = default;
  constexpr Address operator+(Rep bytes) const { return Address(static_cast<Rep>(value_ + bytes)); }
  constexpr Address operator-(Rep bytes) const { return Address(static_cast<Rep>(value_ - bytes)); }
  constexpr Rep operator-(Address other) const { return static_cast<Rep>(value_ - other.value_); }
  constexpr Address& operator+=(Rep bytes) {
    value_ = static_cast<Rep>(value_ + bytes);
    return *this;
  }
  constexpr Address& operator-=(Rep bytes) {
    value_ = static_cast<Rep>(value_ - bytes);
    return *this;
  }

 private:
  Rep value_ = 0;
};

// A page number (not an address) of one address kind. Pages are 4 KiB.
template <typename AddressKind>
class Page {
 public:
  using Rep = typename AddressKind::Representation;
  constexpr Page() = default;
  constexpr explicit Page(Rep number) : number_(number) {}
  [[nodiscard]] static constexpr Page of(AddressKind address) {
    return Page(address.value() >> 12);
  }
  [[nodiscard]] constexpr Rep number() const { return number_; }
  [[nodiscard]] constexpr AddressKind address() const {
    return AddressKind(static_cast<Rep>(number_ << 12));
  }
  constexpr auto operator<=>(const Page&) const = default;
  constexpr Page operator+(Rep pages) const { return Page(static_cast<Rep>(number_ + pages)); }

 private:
  Rep number_ = 0;
};

struct EipTag;
struct GuestOffsetTag;
struct GuestVirtualTag;
struct GuestPhysicalTag;
struct HostAddressTag;

using Eip = Address<EipTag, uint32_t>;                      // instruction pointer: offset in CS
using GuestOffset = Address<GuestOffsetTag, uint32_t>;      // effective address inside a segment
using GuestVirtual = Address<GuestVirtualTag, uint32_t>;    // linear address, before paging
using GuestPhysical = Address<GuestPhysicalTag, uint64_t>;  // after guest paging; at most 36 bits
using HostAddress = Address<HostAddressTag, uint64_t>;      // in our own process
using GuestVirtualPage = Page<GuestVirtual>;
using GuestPhysicalPage = Page<GuestPhysical>;

// Where code whose CS is flat (base 0) has the instruction at this EIP, and back.
[[nodiscard]] constexpr GuestVirtual flat_address(Eip eip) { return GuestVirtual(eip.value()); }
[[nodiscard]] constexpr Eip flat_eip(GuestVirtual address) { return Eip(address.value()); }

inline constexpr uint32_t kPageSize = 4096;

// An aligned 4 MiB of linear space: translated by one page-directory entry, or by two of a PAE
// directory (SDM 3A 4.3, 4.4). The largest guest page fills one.
class Region {
 public:
  static constexpr uint32_t kCount = 1024;  // in linear space
  static constexpr uint32_t kPages = 1024;  // in each

  constexpr explicit Region(uint32_t index) : index_(index) {}
  [[nodiscard]] static constexpr Region of(GuestVirtualPage page) {
    return Region(page.number() / kPages);
  }
  [[nodiscard]] static constexpr Region of(GuestVirtual address) {
    return of(GuestVirtualPage::of(address));
  }
  [[nodiscard]] constexpr uint32_t index() const { return index_; }  // < kCount
  // i < kPages
  [[nodiscard]] constexpr GuestVirtualPage page(uint32_t i) const {
    return GuestVirtualPage(index_ * kPages + i);
  }
  constexpr bool operator==(const Region&) const = default;

 private:
  uint32_t index_;
};

}  // namespace ringshift

template <typename Tag, typename Rep>
struct std::hash<ringshift::Address<Tag, Rep>> {
  size_t operator()(const ringshift::Address<Tag, Rep>& address) const {
    return std::hash<Rep>()(address.value());
  }
};
template <typename Kind>
struct std::hash<ringshift::Page<Kind>> {
  size_t operator()(const ringshift::Page<Kind>& page) const {
    return std::hash<typename Kind::Representation>()(page.number());
  }
};
