// E1000's registers: their offsets, and the bits that the model knows. Names and numbers of Intel's
// "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453), 13.
#pragma once

#include <cstdint>

namespace ringshift::e1000 {

enum Register : uint32_t {
  kCtrl = 0x0000,
  kCtrlAgain = 0x0004,
  kStatusRegister = 0x0008,
  kEecd = 0x0010,
  kEerd = 0x0014,
  kCtrlExt = 0x0018,
  kMdic = 0x0020,
  kFcal = 0x0028,
  kFct = 0x0030,
  kVet = 0x0038,
  kIcr = 0x00c0,
  kItr = 0x00c4,
  kIcs = 0x00c8,
  kIms = 0x00d0,
  kImc = 0x00d8,
  kRctl = 0x0100,
  kFcttv = 0x0170,
  kTxcw = 0x0178,
  kTctl = 0x0400,
  kTipg = 0x0410,
  kAit = 0x0458,
  kLedctl = 0x0e00,
  kPba = 0x1000,
  kFcrtl = 0x2160,
  kFcrth = 0x2168,
  kRdbal = 0x2800,
  kRdbah = 0x2804,
  kRdlen = 0x2808,
  kRdh = 0x2810,
  kRdt = 0x2818,
  kRdtr = 0x2820,
  kRadv = 0x282c,
  kRsrpd = 0x2c00,
  kTdbal = 0x3800,
  kTdbah = 0x3804,
  kTdlen = 0x3808,
  kTdh = 0x3810,
  kTdt = 0x3818,
  kTidv = 0x3820,
  kTspmt = 0x3830,
  kStatistics = 0x4000,
  kGprc = 0x4074,
  kBprc = 0x4078,
  kMprc = 0x407c,
  kGptc = 0x4080,
  kGorcl = 0x4088,
  kGotcl = 0x4090,
  kTorl = 0x40c0,
  kTotl = 0x40c8,
  kTpr = 0x40d0,
  kTpt = 0x40d4,
  kMptc = 0x40f0,
  kBptc = 0x40f4,
  kStatisticsEnd = 0x4128,
  kRxcsum = 0x5000,
  kMta = 0x5200,
  kRal = 0x5400,
  kRah = 0x5404,
  kRaEnd = 0x5480,
  kVfta = 0x5600,
  kWuc = 0x5800,
  kRegistersEnd = 0x5840,
};

// CTRL, STATUS.
inline constexpr uint32_t kFullDuplex = 1U << 0, kSetLinkUp = 1U << 6, kGigabit = 2U << 8;
inline constexpr uint32_t kReset = 1U << 26, kVlanMode = 1U << 30, kPhyReset = 1U << 31;
inline constexpr uint32_t kLinkUp = 1U << 1, kStatusGigabit = 2U << 6;

// ICR, ICS, IMS, IMC.
inline constexpr uint32_t kTxWrittenBack = 1U << 0, kTxQueueEmpty = 1U << 1;
inline constexpr uint32_t kLinkChange = 1U << 2, kRxLow = 1U << 4, kRxTimer = 1U << 7;
inline constexpr uint32_t kMdiComplete = 1U << 9, kAllCauses = 0x1ffff;

// RCTL, TCTL.
inline constexpr uint32_t kRxEnable = 1U << 1, kAllUnicast = 1U << 3, kAllMulticast = 1U << 4;
inline constexpr uint32_t kTakeBroadcast = 1U << 15, kVlanFilter = 1U << 18;
inline constexpr uint32_t kBufferExtension = 1U << 25, kStripCrc = 1U << 26;
inline constexpr uint32_t kLoopBack = 3U << 6;
inline constexpr uint32_t kTxEnable = 1U << 1, kPadShort = 1U << 3;
inline constexpr uint32_t kAddressValid = 1U << 31;  // RAH

inline constexpr unsigned kDescriptorBytes = 16;

}  // namespace ringshift::e1000
