#include <gtest/gtest.h>

#include <regex>
#include <string>

#include "monitor/lab/parts/drawing.h"
#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/page_texts.h"

namespace ringshift::lab {
namespace {

Drawing drawn() {
  Drawing drawing(200, 100, "a <label>");
  drawing.begin_link("#place", "id", "leads on");
  drawing.box({1, 2, 30, 40}, "badfill", "bad", 0, "a \"tip\"");
  drawing.text(5, 6, "1 < 2");
  drawing.end_link();
  return drawing;
}

TEST(Drawing, InAPageHasThePagesColoursAndLeadsOn) {
  const std::string svg = drawn().for_page(300);
  EXPECT_NE(svg.find("fill=\"var(--badfill)\""), std::string::npos);
  EXPECT_NE(svg.find("<a href=\"#place\""), std::string::npos);
  EXPECT_NE(svg.find("1 &lt; 2"), std::string::npos);
  EXPECT_NE(svg.find("a &quot;tip&quot;"), std::string::npos);
  EXPECT_EQ(svg.find("<label>"), std::string::npos);
}

TEST(Drawing, InAFileHasColoursOfItsOwnAndLeadsNowhere) {
  const std::string svg = drawn().for_file();
  EXPECT_EQ(svg.find("var("), std::string::npos);
  EXPECT_EQ(svg.find("href"), std::string::npos);
  // Each colour that is used is one of the style's.
  const std::regex colour("(?:fill|stroke)=\"(#[0-9a-f]{6})\"");
  const std::string style(page_style());
  const std::string light = style.substr(0, style.find("@media"));
  int colours = 0;
  for (std::sregex_iterator found(svg.begin(), svg.end(), colour), end; found != end; ++found) {
    ++colours;
    EXPECT_NE(light.find((*found)[1].str()), std::string::npos) << (*found)[1];
  }
  EXPECT_GE(colours, 4);
}

TEST(Page, WhatTheDataSaysCannotEndItsElement) {
  Page page;
  page.name = "matrix";
  page.title = "</title><b>";
  page.data = R"({"name": "</script><script>alert(1)</script>"})";
  const std::string html = html_page(page, Company::Alone);
  EXPECT_EQ(html.find("alert(1)</script>"), std::string::npos);
  EXPECT_NE(html.find(R"(\u003c/script>\u003cscript>alert(1))"), std::string::npos);
  EXPECT_EQ(html.find("<b>"), std::string::npos);
}

TEST(Page, LeadsToTheOthersOnlyWhereTheyAre) {
  Page page;
  page.name = "trap";
  EXPECT_EQ(html_page(page, Company::Alone).find(".html"), std::string::npos);
  const std::string html = html_page(page, Company::Folder);
  for (const PageName& name : page_names()) {
    EXPECT_NE(html.find(std::string("href=\"") + name.name + ".html\""), std::string::npos);
  }
  EXPECT_NE(html.find("<a aria-current=\"page\" href=\"trap.html\">"), std::string::npos);
}

}  // namespace
}  // namespace ringshift::lab
