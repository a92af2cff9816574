// GDB replies: the short answers of the remote serial protocol that carry no data.
#pragma once

namespace ringshift::debug {

// Numbers of our own: the protocol gives them no meaning.
inline constexpr char kMalformed[] = "E01";
inline constexpr char kRefused[] = "E02";
inline constexpr char kNoMemory[] = "E0e";
inline constexpr char kRunning[] = "E10";
inline constexpr char kTooLong[] = "E22";
inline constexpr char kUnknown[] = "";

inline constexpr char kOk[] = "OK";

}  // namespace ringshift::debug
