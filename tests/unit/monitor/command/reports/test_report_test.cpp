// TestReport: XML that a parser takes, whatever a guest prints.
#include "monitor/command/reports/test_report.h"

#include <gtest/gtest.h>

namespace ringshift {
namespace {

TEST(TestReport, HasACaseForEachCommand) {
  const std::string text =
      junit_text("suite", {{.name = "true", .failure = "", .output = "", .duration = 1'500'000'000},
                           {.name = "a <b> & \"c\"",
                            .exit_code = 3,
                            .failure = "exit code 3",
                            .output = std::string("\x1b[1mred\0\xff\n", 10)}});
  EXPECT_EQ(text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"suite\" tests=\"2\" failures=\"1\" errors=\"0\" time=\"1.500\">\n"
            "  <testcase classname=\"suite\" name=\"true\" time=\"1.500\">\n"
            "    <system-out></system-out>\n"
            "  </testcase>\n"
            "  <testcase classname=\"suite\" name=\"a &lt;b&gt; &amp; &quot;c&quot;\" "
            "time=\"0.000\">\n"
            "    <failure message=\"exit code 3\"/>\n"
            "    <system-out>?[1mred??\n</system-out>\n"
            "  </testcase>\n"
            "</testsuite>\n");
}

}  // namespace
}  // namespace ringshift
