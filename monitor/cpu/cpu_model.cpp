#include "monitor/cpu/cpu_model.h"

#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "devices/interrupts/local_apic.h"

namespace ringshift {

uint32_t host_mxcsr_mask() {
  constexpr size_t kMaskAt = 28;
  constexpr uint32_t kMaskOfTheFirst = 0xffbf;  // where zero is stored
  alignas(16) std::array<uint8_t, 512> image{};
  _fxsave(image.data());
  uint32_t mask = 0;
  std::memcpy(&mask, image.data() + kMaskAt, sizeof(mask));
  return mask != 0 ? mask : kMaskOfTheFirst;
}

namespace {

constexpr uint32_t kMaxBasic = 0xa;
constexpr uint32_t kMaxBasicWithClock = 0x16;
constexpr uint32_t kMaxExtended = 0x80000008U;
constexpr uint32_t kHypervisorLeaf = 0x40000000U;
// The leaves that have subleaves.
constexpr uint32_t kCacheLeaf = 4, kStructuredFeatureLeaf = 7;

constexpr uint32_t kSignatureMerom = 0x6fb;     // family 6 model 15 stepping 11
constexpr uint32_t kSignaturePentium3 = 0x68a;  // family 6 model 8 stepping 10

// Leaf 1 EDX, SDM 2A table 3-11.
constexpr uint32_t kFpu = 1U << 0;
constexpr uint32_t kDe = 1U << 2;
constexpr uint32_t kPse = 1U << 3;
constexpr uint32_t kTsc = 1U << 4;
constexpr uint32_t kMsr = 1U << 5;
constexpr uint32_t kPae = 1U << 6;
constexpr uint32_t kCx8 = 1U << 8;
constexpr uint32_t kApic = 1U << 9;
constexpr uint32_t kSep = 1U << 11;
constexpr uint32_t kMtrr = 1U << 12;
constexpr uint32_t kPge = 1U << 13;
constexpr uint32_t kCmov = 1U << 15;
constexpr uint32_t kPat = 1U << 16;
constexpr uint32_t kClfsh = 1U << 19;
constexpr uint32_t kMmx = 1U << 23;
constexpr uint32_t kFxsr = 1U << 24;
constexpr uint32_t kSse = 1U << 25;
constexpr uint32_t kSse2 = 1U << 26;
// Leaf 1 ECX, SDM 2A table 3-10.
constexpr uint32_t kSse3 = 1U << 0;
constexpr uint32_t kSsse3 = 1U << 9;
constexpr uint32_t kSse41 = 1U << 19;
constexpr uint32_t kSse42 = 1U << 20;
constexpr uint32_t kPopcnt = 1U << 23;
constexpr uint32_t kHypervisor = 1U << 31;
constexpr uint32_t kBmi1 = 1U << 3;  // leaf 7 EBX
// Leaf 7 EDX, 80000001H EDX, 80000007H EDX.
constexpr uint32_t kArchCapabilities = 1U << 29;
constexpr uint32_t kAlwaysRunningTimer = 1U << 2;  // leaf 6 EAX
constexpr uint32_t kNx = 1U << 20;
constexpr uint32_t kInvariantTsc = 1U << 8;

constexpr uint32_t kPhysicalBits = 36;
constexpr uint32_t kLinearBits = 32;

uint32_t four(std::string_view text, size_t position) {
  char bytes[4] = {};
  for (size_t i = 0; i < sizeof(bytes) && position + i < text.size(); ++i) {
    bytes[i] = text[position + i];
  }
  uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

CpuidResult vendor_leaf(const CpuModel& model) {
  constexpr std::string_view kVendor = "GenuineIntel";
  return {model.tsc_hz != 0 ? kMaxBasicWithClock : kMaxBasic, four(kVendor, 0), four(kVendor, 8),
          four(kVendor, 4)};
}

CpuidResult feature_leaf(const CpuModel& model) {
  CpuidResult result;
  result.eax = model.sse42 ? kSignatureMerom : kSignaturePentium3;
  result.edx =
      kFpu | kDe | kPse | kTsc | kMsr | kCx8 | kMtrr | kPge | kCmov | kPat | kMmx | kFxsr | kSse;
  result.ecx = kHypervisor;
  result.ebx = 1U << 16;  // one logical processor
  if (model.pae) {
    result.edx |= kPae;
  }
  if (model.sysenter) {
    result.edx |= kSep;
  }
  if (model.apic) {
    result.edx |= kApic;
  }
  if (model.sse42) {
    result.edx |= kSse2 | kClfsh;
    result.ecx |= kSse3 | kSsse3 | kSse41 | kSse42 | kPopcnt;
    result.ebx |= 8U << 8;  // CLFLUSH line, in units of 8 bytes
  }
  return result;
}

// Descriptor bytes of SDM 2A table 3-12: L1 32K+32K and L2 4M, or L1 16K+16K and L2 256K.
CpuidResult cache_descriptor_leaf(const CpuModel& model) {
  if (model.sse42) {
    return {0x05b0b101, 0x005657f0, 0, 0x2cb43049};
  }
  return {0x03020101, 0, 0, 0x0c040882};
}

CpuidResult cache_leaf(const CpuModel& model, uint32_t subleaf) {
  struct Cache {
    uint32_t type, level, ways, sets;
  };
  constexpr Cache kCaches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 4096}};
  if (!model.sse42 || subleaf >= 3) {
    return {};
  }
  const Cache& cache = kCaches[subleaf];
  constexpr uint32_t kLine = 64;
  constexpr uint32_t kSelfInitializing = 1U << 8;
  return {cache.type | (cache.level << 5) | kSelfInitializing,
          (kLine - 1) | ((cache.ways - 1) << 22), cache.sets - 1, 0};
}

// TSC = crystal * EBX / EAX, and the APIC's timer counts the crystal. Kernels multiply its
// kilohertz by EBX in 32 bits; the largest EAX that allows is within a few parts in a million.
CpuidResult clock_leaf(const CpuModel& model) {
  if (model.tsc_hz == 0) {
    return {};
  }
  constexpr uint64_t kLargestDenominator = 1000;
  const uint64_t kilohertz = model.tsc_hz / 1000;
  const uint64_t denominator = std::min(~uint32_t{0} / kilohertz, kLargestDenominator);
  const uint64_t numerator = (model.tsc_hz * denominator + kLocalApicHertz / 2) / kLocalApicHertz;
  return {static_cast<uint32_t>(denominator), static_cast<uint32_t>(numerator), kLocalApicHertz, 0};
}

CpuidResult frequency_leaf(const CpuModel& model) {
  const auto megahertz = static_cast<uint32_t>(model.tsc_hz / 1000000) & 0xffffU;
  return {megahertz, megahertz, 0, 0};
}

CpuidResult structured_feature_leaf(const CpuModel& model, uint32_t subleaf) {
  if (subleaf != 0) return {};
  return {0, model.bmi1 ? kBmi1 : 0, 0, model.meltdown ? 0 : kArchCapabilities};
}

// The leaf that names the hypervisor, and the highest of its leaves.
CpuidResult hypervisor_leaf(std::string_view signature, uint32_t highest) {
  return {highest, four(signature, 0), four(signature, 4), four(signature, 8)};
}

// Linux, Documentation/virt/kvm/x86/cpuid.rst. Nothing is offered that is not there: no hypercall,
// for which each of the others would ask.
uint32_t kvm_features(const CpuModel& model) {
  constexpr uint32_t kClockSource = 1U << 0, kNoIoDelay = 1U << 1, kClockSource2 = 1U << 3,
                     kStealTime = 1U << 5, kClockIsStable = 1U << 24;
  return kClockSource | kNoIoDelay | kClockSource2 | (model.steal_time ? kStealTime : 0) |
         (model.tsc_is_stable ? kClockIsStable : 0);
}

// Leaves from 0x40000000 on.
CpuidResult hypervisor_leaves(const CpuModel& model, uint32_t leaf) {
  constexpr uint32_t kKvmFeatures = 0x40000001U, kVmwareClocks = 0x40000010U,
                     kRingshiftRegisters = 0x40000001U;
  switch (model.paravirt) {
    case Paravirt::None:
      break;
    case Paravirt::Kvm:
      if (leaf == kHypervisorLeaf) return hypervisor_leaf("KVMKVMKVM", kKvmFeatures);
      return leaf == kKvmFeatures ? CpuidResult{kvm_features(model), 0, 0, 0} : CpuidResult{};
    case Paravirt::Vmware:
      if (leaf == kHypervisorLeaf) return hypervisor_leaf("VMwareVMware", kVmwareClocks);
      if (leaf != kVmwareClocks) return {};
      return {static_cast<uint32_t>(model.tsc_hz / 1000), kLocalApicHertz / 1000, 0, 0};
    case Paravirt::Ringshift:
      if (leaf == kHypervisorLeaf) return hypervisor_leaf("RingshiftVMM", kRingshiftRegisters);
      if (leaf != kRingshiftRegisters) return {};
      return {kRingshiftVersion, kRingshiftMsrs, 0, 0};
  }
  return hypervisor_leaf("RingshiftVMM", kHypervisorLeaf);
}

// True for the leaves that the shown hypervisor has, and for those below its highest one.
bool is_hypervisor_leaf(const CpuModel& model, uint32_t leaf) {
  constexpr uint32_t kBeyond = 0x40000100U;
  return leaf == kHypervisorLeaf ||
         (model.paravirt != Paravirt::None && leaf > kHypervisorLeaf && leaf < kBeyond);
}

CpuidResult brand_leaf(uint32_t leaf) {
  constexpr std::string_view kBrand = "Ringshift virtual CPU";
  const size_t start = (leaf - 0x80000002U) * size_t{16};
  return {four(kBrand, start), four(kBrand, start + 4), four(kBrand, start + 8),
          four(kBrand, start + 12)};
}

CpuidResult extended_leaf(const CpuModel& model, uint32_t leaf) {
  switch (leaf) {
    case 0x80000000U:
      return {kMaxExtended, 0, 0, 0};
    case 0x80000001U:
      return {0, 0, 0, model.nx && model.pae ? kNx : 0};
    case 0x80000002U:
    case 0x80000003U:
    case 0x80000004U:
      return brand_leaf(leaf);
    case 0x80000006U:
      // L2: size in KiB, associativity code (8: 16-way, 6: 8-way), line bytes.
      return {0, 0,
              model.sse42 ? (4096U << 16) | (8U << 12) | 64U : (256U << 16) | (6U << 12) | 32U, 0};
    case 0x80000007U:
      return {0, 0, 0, kInvariantTsc};
    case 0x80000008U:
      return {kPhysicalBits | (kLinearBits << 8), 0, 0, 0};
    default:
      return {};
  }
}

}  // namespace

bool CpuModel::has_subleaves(uint32_t leaf) {
  return leaf == kCacheLeaf || leaf == kStructuredFeatureLeaf;
}

CpuidResult CpuModel::cpuid(uint32_t leaf, uint32_t subleaf) const {
  if (is_hypervisor_leaf(*this, leaf)) return hypervisor_leaves(*this, leaf);
  if (leaf >= 0x80000000U && leaf <= kMaxExtended) {
    return extended_leaf(*this, leaf);
  }
  switch (leaf) {
    case 0:
      return vendor_leaf(*this);
    case 1:
      return feature_leaf(*this);
    case 2:
      return cache_descriptor_leaf(*this);
    case kCacheLeaf:
      return cache_leaf(*this, subleaf);
    case 6:
      // The APIC's timer runs whatever the processor does.
      return {apic ? kAlwaysRunningTimer : 0, 0, 0, 0};
    case kStructuredFeatureLeaf:
      return structured_feature_leaf(*this, subleaf);
    case 0x15:
      return clock_leaf(*this);
    case 0x16:
      return frequency_leaf(*this);
    default:
      // A leaf above the highest answers as the highest basic one does (SDM 2A CPUID), and without
      // a clock that one is zeros; leaves in between that this model lacks are zeros anyway.
      return leaf > kMaxBasicWithClock && tsc_hz != 0 ? frequency_leaf(*this) : CpuidResult{};
  }
}

}  // namespace ringshift
