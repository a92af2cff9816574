// Sanitizer: whether this build has AddressSanitizer, which owns parts of the process. See
// docs/testing.md.
#pragma once

namespace ringshift {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kHasAddressSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kHasAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kHasAddressSanitizer = false;
#endif

}  // namespace ringshift
