#include "monitor/lab/census/linux_payload.h"

#include <bzlib.h>
#include <fmt/core.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>

#include "monitor/boot/boot_image.h"

namespace ringshift::lab {
namespace {

using Bytes = std::span<const uint8_t>;

enum class Progress : uint8_t { More, End, Damaged };

// Writes the next bytes into `room`, and returns their number.
using Unpacker = std::function<Progress(std::span<uint8_t> room, size_t* made)>;

// Where it all goes, and how much of it there may be.
struct Room {
  std::vector<uint8_t>* bytes;
  uint64_t limit;
};

std::string collect(const Unpacker& unpack, const Room& to) {
  constexpr size_t kFirstRoom = size_t{8} << 20;  // an LZ4 block always fits
  size_t used = 0;
  while (true) {
    if (used == to.limit) {
      return fmt::format("carries a payload of more than {} MiB", to.limit >> 20);
    }
    to.bytes->resize(std::min<size_t>(to.limit, used + std::max(kFirstRoom, used)));
    size_t made = 0;
    const Progress progress = unpack(std::span(*to.bytes).subspan(used), &made);
    used += made;
    if (progress == Progress::Damaged || (progress == Progress::More && made == 0)) {
      return "carries a damaged payload";
    }
    if (progress == Progress::More) continue;
    to.bytes->resize(used);
    return {};
  }
}

template <typename T>
unsigned as_unsigned(T value) {
  return static_cast<unsigned>(value);
}

std::string unpack_gzip(Bytes packed, const Room& to) {
  constexpr int kGzipOnly = 16 + MAX_WBITS;
  z_stream stream{};
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) return "cannot be unpacked: no memory";
  const std::unique_ptr<z_stream, int (*)(z_stream*)> end(&stream, inflateEnd);
  stream.next_in = const_cast<uint8_t*>(packed.data());
  stream.avail_in = as_unsigned(packed.size());
  return collect(
      [&](std::span<uint8_t> room, size_t* made) {
        stream.next_out = room.data();
        stream.avail_out = as_unsigned(room.size());
        const int result = inflate(&stream, Z_NO_FLUSH);
        *made = room.size() - stream.avail_out;
        if (result == Z_STREAM_END) return Progress::End;
        return result == Z_OK ? Progress::More : Progress::Damaged;
      },
      to);
}

std::string unpack_bzip2(Bytes packed, const Room& to) {
  bz_stream stream{};
  if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK) return "cannot be unpacked: no memory";
  const std::unique_ptr<bz_stream, int (*)(bz_stream*)> end(&stream, BZ2_bzDecompressEnd);
  std::vector<char> in(packed.begin(), packed.end());  // the library wants it writable
  stream.next_in = in.data();
  stream.avail_in = as_unsigned(in.size());
  return collect(
      [&](std::span<uint8_t> room, size_t* made) {
        stream.next_out = reinterpret_cast<char*>(room.data());
        stream.avail_out = as_unsigned(room.size());
        const int result = BZ2_bzDecompress(&stream);
        *made = room.size() - stream.avail_out;
        if (result == BZ_STREAM_END) return Progress::End;
        return result == BZ_OK ? Progress::More : Progress::Damaged;
      },
      to);
}

std::string unpack_lzma(Bytes packed, const Room& to) {
  constexpr uint64_t kMemory = uint64_t{256} << 20;
  lzma_stream stream = LZMA_STREAM_INIT;
  // Both formats of this library, .lzma and .xz, by the file's first bytes.
  if (lzma_auto_decoder(&stream, kMemory, 0) != LZMA_OK) return "cannot be unpacked: no memory";
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
  stream.next_in = packed.data();
  stream.avail_in = packed.size();
  return collect(
      [&](std::span<uint8_t> room, size_t* made) {
        stream.next_out = room.data();
        stream.avail_out = room.size();
        const lzma_ret result = lzma_code(&stream, LZMA_RUN);
        *made = room.size() - stream.avail_out;
        if (result == LZMA_STREAM_END) return Progress::End;
        return result == LZMA_OK ? Progress::More : Progress::Damaged;
      },
      to);
}

std::string unpack_zstd(Bytes packed, const Room& to) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                        ZSTD_freeDStream);
  if (stream == nullptr) return "cannot be unpacked: no memory";
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  return collect(
      [&](std::span<uint8_t> room, size_t* made) {
        ZSTD_outBuffer made_here{room.data(), room.size(), 0};
        const size_t result = ZSTD_decompressStream(stream.get(), &made_here, &in);
        *made = made_here.pos;
        if (ZSTD_isError(result) != 0) return Progress::Damaged;
        return result == 0 ? Progress::End : Progress::More;
      },
      to);
}

// The legacy frame: blocks with their length before them, each of at most 8 MiB. When no block
// begins, the rest of the file is the size of the whole.
std::string unpack_lz4(Bytes packed, const Room& to) {
  constexpr size_t kMagicBytes = 4, kLengthBytes = 4;
  const ByteView view(packed);
  size_t at = kMagicBytes;
  return collect(
      [&](std::span<uint8_t> room, size_t* made) {
        if (!view.has(at, kLengthBytes + kLengthBytes)) return Progress::End;
        const uint32_t length = view.u32(at);
        if (!view.has(at + kLengthBytes, length)) return Progress::Damaged;
        const int result =
            LZ4_decompress_safe(reinterpret_cast<const char*>(packed.data() + at + kLengthBytes),
                                reinterpret_cast<char*>(room.data()), static_cast<int>(length),
                                static_cast<int>(room.size()));
        if (result <= 0) return Progress::Damaged;
        *made = static_cast<size_t>(result);
        at += kLengthBytes + length;
        return Progress::More;
      },
      to);
}

struct Method {
  const char* name;
  std::array<uint8_t, 4> magic;
  size_t magic_bytes;
  std::string (*unpack)(Bytes, const Room&);
};

// As the kernel's own build names them.
constexpr std::array<Method, 6> kMethods = {{
    {"gzip", {0x1f, 0x8b}, 2, unpack_gzip},
    {"bzip2", {'B', 'Z', 'h'}, 3, unpack_bzip2},
    {"lzma", {0x5d, 0x00, 0x00}, 3, unpack_lzma},
    {"xz", {0xfd, '7', 'z', 'X'}, 4, unpack_lzma},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
    {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
}};

}  // namespace

std::string unpack_linux(Bytes image, LinuxPayload* payload, uint64_t limit) {
  constexpr uint64_t kSetupSects = 0x1f1, kVersion = 0x206, kPayloadOffset = 0x248,
                     kPayloadLength = 0x24c, kSector = 512, kUsualSectors = 4;
  constexpr uint16_t kHasPayload = 0x208;
  const ByteView view(image);
  if (view.u16(kVersion) < kHasPayload) {
    return fmt::format("does not say where its kernel is (boot protocol {}.{:02}, before 2.08)",
                       view.u16(kVersion) >> 8, view.u16(kVersion) & 0xff);
  }
  const uint64_t sectors = view.u8(kSetupSects) == 0 ? kUsualSectors : view.u8(kSetupSects);
  const uint64_t start = (sectors + 1) * kSector + view.u32(kPayloadOffset);
  const uint64_t length = view.u32(kPayloadLength);
  if (length == 0 || !view.has(start, length)) return "has its payload outside the file";
  const Bytes packed = image.subspan(start, length);
  for (const Method& method : kMethods) {
    if (packed.size() < method.magic_bytes ||
        std::memcmp(packed.data(), method.magic.data(), method.magic_bytes) != 0) {
      continue;
    }
    payload->method = method.name;
    return method.unpack(packed, {&payload->bytes, limit});
  }
  return "carries a payload packed in a way that is not known here";
}

}  // namespace ringshift::lab
