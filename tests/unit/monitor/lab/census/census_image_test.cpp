// Images: the kernel in a bzImage is unpacked whatever packed it, and bad files are one line.
#include "monitor/lab/census/census_image.h"

#include <bzlib.h>
#include <gtest/gtest.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>

#include "monitor/lab/census/census.h"
#include "monitor/lab/census/linux_payload.h"
#include "monitor/lab/parts/guests/demonstration_guest.h"

namespace ringshift::lab {
namespace {

using Bytes = std::vector<uint8_t>;

void put(Bytes* out, size_t at, uint64_t value, size_t width) {
  if (out->size() < at + width) out->resize(at + width);
  std::memcpy(out->data() + at, &value, width);
}

// A kernel that is linked high and starts low, as Linux is: at its entry STR, and a jump through a
// word of its data to SGDT; SIDT is reached by nothing. One section of code, one of data.
constexpr uint32_t kLinkedAt = 0xc0100000, kStartsAt = 0x00100000, kDataAt = 0xc0200000;

Bytes kernel() {
  const Bytes code = {0x0f, 0x00, 0xc8, 0xff, 0x25, 0,    0,    0x20, 0xc0,  // str; jmp [data]
                      0x0f, 0x01, 0x00, 0xc3, 0x0f, 0x01, 0x08, 0xc3};       // sgdt; sidt
  constexpr size_t kSegment = 52, kCode = 0x200, kData = 0x300, kSections = 0x400;
  Bytes elf = {0x7f, 'E', 'L', 'F', 1, 1, 1};
  const auto header = [&](size_t at, uint64_t value, size_t width) { put(&elf, at, value, width); };
  header(16, 2, 2), header(18, 3, 2), header(20, 1, 4), header(24, kStartsAt, 4);
  header(28, kSegment, 4), header(32, kSections, 4), header(40, 52, 2), header(42, 32, 2);
  header(44, 1, 2), header(46, 40, 2), header(48, 2, 2);
  const std::array<uint32_t, 8> segment = {1, kCode, kLinkedAt, kStartsAt, 0x200, 0x200, 5, 0x1000};
  for (size_t i = 0; i < segment.size(); ++i) put(&elf, kSegment + i * 4, segment[i], 4);
  elf.resize(kCode);
  elf.insert(elf.end(), code.begin(), code.end());
  put(&elf, kData, kLinkedAt + 9, 4);
  const auto section = [&](size_t index, uint32_t flags, uint32_t address, uint32_t offset,
                           size_t size) {
    const size_t at = kSections + index * 40;
    put(&elf, at + 4, 1, 4), put(&elf, at + 8, flags, 4), put(&elf, at + 12, address, 4);
    put(&elf, at + 16, offset, 4), put(&elf, at + 20, size, 4), put(&elf, at + 36, 0, 4);
  };
  section(0, 2 | 4, kLinkedAt, kCode, code.size());
  section(1, 2 | 1, kDataAt, kData, 4);
  return elf;
}

Bytes bzimage(const Bytes& packed, uint16_t version = 0x20f) {
  constexpr size_t kSetupBytes = 1024, kPayloadOffset = 16;
  Bytes image(kSetupBytes + kPayloadOffset, 0);
  put(&image, 0x1f1, 1, 1), put(&image, 0x1fe, 0xaa55, 2), put(&image, 0x202, 0x53726448, 4);
  put(&image, 0x206, version, 2), put(&image, 0x248, kPayloadOffset, 4);
  put(&image, 0x24c, packed.size(), 4);
  image.insert(image.end(), packed.begin(), packed.end());
  return image;
}

Bytes gzip(const Bytes& in) {
  constexpr int kGzip = 16 + MAX_WBITS, kMemoryLevel = 8;
  z_stream stream{};
  Bytes out(in.size() + 4096);
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, kGzip, kMemoryLevel, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = const_cast<uint8_t*>(in.data());
  stream.avail_in = static_cast<unsigned>(in.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<unsigned>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Bytes bzip2(const Bytes& in) {
  Bytes out(in.size() + 4096);
  auto length = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &length,
                                     reinterpret_cast<char*>(const_cast<uint8_t*>(in.data())),
                                     static_cast<unsigned>(in.size()), 9, 0, 0),
            BZ_OK);
  out.resize(length);
  return out;
}

Bytes xz(const Bytes& in) {
  Bytes out(in.size() + 4096);
  size_t length = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, in.data(), in.size(), out.data(),
                                    &length, out.size()),
            LZMA_OK);
  out.resize(length);
  return out;
}

Bytes lzma(const Bytes& in) {
  lzma_options_lzma options{};
  EXPECT_FALSE(lzma_lzma_preset(&options, 6));
  lzma_stream stream = LZMA_STREAM_INIT;
  EXPECT_EQ(lzma_alone_encoder(&stream, &options), LZMA_OK);
  Bytes out(in.size() + 4096);
  stream.next_in = in.data();
  stream.avail_in = in.size();
  stream.next_out = out.data();
  stream.avail_out = out.size();
  EXPECT_EQ(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
  out.resize(stream.total_out);
  lzma_end(&stream);
  return out;
}

Bytes zstd(const Bytes& in) {
  Bytes out(ZSTD_compressBound(in.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), in.data(), in.size(), 3));
  return out;
}

// Two blocks, and the size at the end, as the kernel's build leaves it.
Bytes lz4(const Bytes& in) {
  Bytes out = {0x02, 0x21, 0x4c, 0x18};
  const size_t half = in.size() / 2;
  for (const auto& [at, size] :
       {std::pair<size_t, size_t>{0, half}, std::pair<size_t, size_t>{half, in.size() - half}}) {
    Bytes block(static_cast<size_t>(LZ4_compressBound(static_cast<int>(size))));
    const int length = LZ4_compress_default(reinterpret_cast<const char*>(in.data() + at),
                                            reinterpret_cast<char*>(block.data()),
                                            static_cast<int>(size), static_cast<int>(block.size()));
    put(&out, out.size(), static_cast<uint32_t>(length), 4);
    out.insert(out.end(), block.begin(), block.begin() + length);
  }
  put(&out, out.size(), in.size(), 4);
  return out;
}

std::string problem_of(const Bytes& image) {
  LinuxPayload payload;
  return unpack_linux(image, &payload);
}

TEST(LinuxPayload, ComesOutWhateverPackedIt) {
  const Bytes in = kernel();
  const std::vector<std::pair<std::string, Bytes>> all = {{"gzip", gzip(in)}, {"bzip2", bzip2(in)},
                                                          {"xz", xz(in)},     {"lzma", lzma(in)},
                                                          {"zstd", zstd(in)}, {"lz4", lz4(in)}};
  for (const auto& [method, packed] : all) {
    SCOPED_TRACE(method);
    LinuxPayload payload;
    EXPECT_EQ(unpack_linux(bzimage(packed), &payload), "");
    EXPECT_EQ(payload.method, method);
    EXPECT_EQ(payload.bytes, in);
    Bytes cut(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(packed.size() / 2));
    EXPECT_EQ(problem_of(bzimage(cut)), "carries a damaged payload");
  }
}

TEST(LinuxPayload, WhatIsWrongIsSaid) {
  Bytes image = bzimage(gzip(kernel()));
  put(&image, 0x24c, 0x7fffffff, 4);
  EXPECT_EQ(problem_of(image), "has its payload outside the file");
  put(&image, 0x24c, 0, 4);
  EXPECT_EQ(problem_of(image), "has its payload outside the file");
  EXPECT_NE(problem_of(bzimage({0x89, 'L', 'Z', 'O'})).find("not known here"), std::string::npos);
  EXPECT_NE(problem_of(bzimage(kernel(), 0x207)).find("before 2.08"), std::string::npos);
  EXPECT_EQ(problem_of(Bytes(10)).empty(), false);
}

TEST(LinuxPayload, WhatUnpacksWithoutEndIsRefused) {
  constexpr uint64_t kLimit = uint64_t{1} << 20;
  LinuxPayload payload;
  EXPECT_EQ(unpack_linux(bzimage(zstd(Bytes(kLimit))), &payload, kLimit + 1), "");
  EXPECT_EQ(unpack_linux(bzimage(zstd(Bytes(kLimit + 1))), &payload, kLimit),
            "carries a payload of more than 1 MiB");
}

TEST(CensusImage, APackedKernelIsCountedAsWhatItUnpacksTo) {
  std::string error;
  const auto file = ImageFile::create(bzimage(xz(kernel())), &error);
  ASSERT_NE(file, nullptr) << error;
  const auto image = CensusImage::open(file->path(), &error);
  ASSERT_NE(image, nullptr) << error;
  EXPECT_EQ(image->kind(), "Linux bzImage, unpacked (xz)");
  Census census;
  census_reached(*image, census_linear(*image, &census), &census);
  EXPECT_EQ(census.linear_instructions, 6U);
  EXPECT_EQ(census.rows["SIDT"].linear, 1U);
  EXPECT_EQ(census.rows["SIDT"].reached, 0U) << "nothing leads there";
  EXPECT_EQ(census.rows["STR"].reached, 1U) << "from the physical entry point";
  EXPECT_EQ(census.rows["SGDT"].reached, 1U) << "by way of a word of data";
  EXPECT_EQ(census.reached_by_branches, 2U);
  EXPECT_EQ(census.reached_instructions, 4U);
  uint64_t all = 0;
  for (const uint64_t count : census.linear_by_treatment) all += count;
  EXPECT_EQ(all, census.linear_instructions);
}

// With so many more bytes of its section of code, which are zeros.
Census census_with_zeros(size_t zeros) {
  constexpr size_t kSizeOfCode = 0x400 + 20;
  Bytes elf = kernel();
  put(&elf, kSizeOfCode, elf[kSizeOfCode] + zeros, 4);
  std::string error;
  const auto file = ImageFile::create(elf, &error);
  EXPECT_NE(file, nullptr) << error;
  const auto image = CensusImage::open(file->path(), &error);
  EXPECT_NE(image, nullptr) << error;
  Census census;
  (void)census_linear(*image, &census);
  return census;
}

TEST(CensusImage, ManyZerosArePaddingAndFewAreInstructions) {
  const Census few = census_with_zeros(14), many = census_with_zeros(80);
  EXPECT_EQ(few.padding, 0U);
  EXPECT_EQ(few.linear_instructions, 6U + 7U) << "add byte ptr [eax], al";
  EXPECT_EQ(many.padding, 80U);
  EXPECT_EQ(many.linear_instructions, 6U);
}

TEST(CensusImage, APackedFileThatIsNoKernelIsOneLine) {
  std::string error;
  const auto file = ImageFile::create(bzimage(gzip(Bytes(5000, 7))), &error);
  ASSERT_NE(file, nullptr) << error;
  EXPECT_EQ(CensusImage::open(file->path(), &error), nullptr);
  EXPECT_NE(error.find("a payload that is no ELF file"), std::string::npos) << error;
}

TEST(CensusImage, SectionsThatCopyTheFileOverAndOverAreRefused) {
  Bytes elf = kernel();
  constexpr size_t kSections = 0x400;
  elf.resize(0x2000);
  for (size_t i = 0; i < 8; ++i) {
    const size_t at = kSections + i * 40;
    put(&elf, at + 4, 1, 4), put(&elf, at + 8, 6, 4), put(&elf, at + 16, 0, 4);
    put(&elf, at + 20, elf.size(), 4);
  }
  put(&elf, 48, 8, 2);
  std::string error;
  const auto file = ImageFile::create(elf, &error);
  ASSERT_NE(file, nullptr) << error;
  EXPECT_EQ(CensusImage::open(file->path(), &error), nullptr);
  EXPECT_NE(error.find("too many of one place"), std::string::npos) << error;
}

}  // namespace
}  // namespace ringshift::lab
