// ControlOptions: sockets as they are spelled, and contradictions.
#include "monitor/command/lasting/control_options.h"

#include <gtest/gtest.h>

#include <string>

namespace ringshift {
namespace {

std::string problem_with(ControlOptions options) {
  std::string problem;
  return finish_control_options(&options, &problem) ? "" : problem;
}

TEST(ControlOptions, SayWhereAndHow) {
  ControlOptions options;
  options.qmp = {"unix:/run/vm", "tcp::4444,server=on,wait=on,pretty=on"};
  options.monitor = {"none", "unix=m,server=off"};
  std::string problem;
  ASSERT_TRUE(finish_control_options(&options, &problem)) << problem;
  ASSERT_EQ(options.requests.size(), 3U);
  EXPECT_EQ(options.requests[0].where.path, "/run/vm");
  EXPECT_FALSE(options.requests[0].waits);
  EXPECT_TRUE(options.requests[0].speaks_qmp);
  EXPECT_EQ(options.requests[1].where.port, 4444);
  EXPECT_EQ(options.requests[1].where.host, "127.0.0.1");
  EXPECT_TRUE(options.requests[1].waits);
  EXPECT_TRUE(options.requests[1].pretty);
  EXPECT_FALSE(options.requests[2].speaks_qmp);
  EXPECT_TRUE(options.requests[2].where.connects);
}

TEST(ControlOptions, WhatMakesNoSenseIsNamed) {
  for (const char* where : {"", "stdio", "unix:", "tcp:1:2:x", "unix:a,fast=on", "unix:a,wait=x",
                            "unix:a,server=off,wait=on"}) {
    ControlOptions options;
    options.qmp = {where};
    EXPECT_EQ(problem_with(options).rfind("--qmp: ", 0), 0U) << where;
  }
  ControlOptions folder;
  folder.folder = "/none/such";
  EXPECT_EQ(problem_with(folder), "--control-folder: /none/such is no folder");
  ControlOptions many;
  many.monitor.assign(9, "unix:a");
  EXPECT_NE(problem_with(many), "");
}

}  // namespace
}  // namespace ringshift
