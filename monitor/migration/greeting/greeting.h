// Greeting: the first words of two sides of a stream: that both are a ringshift that speaks this
// format, and that they know the same key, if they have one. See docs/migration.md, "The stream".
#pragma once

#include <string>

#include "monitor/migration/greeting/migration_key.h"
#include "monitor/migration/migration_messages.h"

namespace ringshift {

// The greeting of the side that has connected: its number is a new one. False: *problem has one
// line, or is empty, and the messages say why.
[[nodiscard]] bool greet(MigrationMessages& messages, const std::string& key, std::string* problem);

// The greeting of the side that has waited; `nonce` is new for each stranger. False with one line
// in *problem.
[[nodiscard]] bool answer_greeting(MigrationMessages& messages, const std::string& key,
                                   const MigrationNonce& nonce, std::string* problem);

}  // namespace ringshift
