// Aml: the few terms of ACPI's machine language that our tables need, as bytes. Functions from
// bytes to bytes. ACPI Specification 2.0, chapters 6.4 (resources) and 17.2 (encoding).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace ringshift::aml {

using Bytes = std::vector<uint8_t>;

inline void put(Bytes& to, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
inline void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }
inline void append(Bytes& to, std::string_view text) {
  to.insert(to.end(), text.begin(), text.end());
}
inline Bytes joined(std::initializer_list<Bytes> parts) {
  Bytes all;
  for (const Bytes& part : parts) append(all, part);
  return all;
}

inline Bytes integer(uint32_t value) {
  constexpr uint8_t kByte = 0x0a, kWord = 0x0b, kDword = 0x0c;
  if (value <= 1) return {static_cast<uint8_t>(value)};
  Bytes bytes{value <= 0xff ? kByte : value <= 0xffff ? kWord : kDword};
  put(bytes, value, value <= 0xff ? 1 : value <= 0xffff ? 2 : 4);
  return bytes;
}

// PkgLength counts itself; two bytes of it always, which is enough for 4 KiB, or three.
inline Bytes sized(std::initializer_list<uint8_t> opcode, const Bytes& content) {
  const size_t two = content.size() + 2;
  const bool fits = two < 0x1000;
  const size_t length = fits ? two : two + 1;
  Bytes bytes(opcode);
  bytes.push_back(static_cast<uint8_t>((fits ? 0x40U : 0x80U) | (length & 0xf)));
  put(bytes, length >> 4, fits ? 1 : 2);
  append(bytes, content);
  return bytes;
}

inline Bytes name(std::string_view segment, const Bytes& value) {
  Bytes bytes{0x08};
  append(bytes, segment);
  append(bytes, value);
  return bytes;
}
inline Bytes package(const std::vector<Bytes>& elements) {
  Bytes content{static_cast<uint8_t>(elements.size())};
  for (const Bytes& element : elements) append(content, element);
  return sized({0x12}, content);
}
inline Bytes buffer(const Bytes& data) {
  Bytes content = integer(static_cast<uint32_t>(data.size()));
  append(content, data);
  return sized({0x11}, content);
}
inline Bytes named_block(std::initializer_list<uint8_t> opcode, std::string_view path,
                         const Bytes& terms) {
  Bytes content;
  append(content, path);
  append(content, terms);
  return sized(opcode, content);
}
inline Bytes scope(std::string_view path, const Bytes& terms) {
  return named_block({0x10}, path, terms);
}
inline Bytes device(std::string_view segment, const Bytes& terms) {
  return named_block({0x5b, 0x82}, segment, terms);
}

// Address space descriptors, minimum and maximum fixed. bytes: of each field, 2 or 4.
enum class Space : uint8_t { Memory = 0, Io = 1, Bus = 2 };
inline Bytes range(Space space, unsigned bytes, uint32_t first, uint32_t last) {
  constexpr uint8_t kWordSpace = 0x88, kDwordSpace = 0x87, kFixed = 0x0c;
  Bytes descriptor{bytes == 2 ? kWordSpace : kDwordSpace};
  put(descriptor, 3 + 5 * bytes, 2);
  const uint8_t flags = space == Space::Io ? 3 : space == Space::Memory ? 1 : 0;
  append(descriptor, Bytes{static_cast<uint8_t>(space), kFixed, flags});
  for (const uint32_t field : {0U, first, last, 0U, last - first + 1})
    put(descriptor, field, bytes);
  return descriptor;
}
inline Bytes ports(uint16_t first, uint8_t count) {
  Bytes descriptor{0x47, 0x01};
  put(descriptor, first, 2);
  put(descriptor, first, 2);
  append(descriptor, Bytes{1, count});
  return descriptor;
}
inline Bytes resources(std::initializer_list<Bytes> descriptors) {
  Bytes all = joined(descriptors);
  append(all, Bytes{0x79, 0});
  return buffer(all);
}

}  // namespace ringshift::aml
