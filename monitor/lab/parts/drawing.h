// Drawing: a picture as SVG, for a page and for a file. In a page its colours are the page's, light
// or dark, and its parts lead to places in the page; a file has the light colours written out,
// for programs that show slides. Units are the picture's pixels. See docs/lab.md.
#pragma once

#include <string>
#include <string_view>

namespace ringshift::lab {

struct Box {
  double x = 0, y = 0, width = 0, height = 0;
};

class Drawing {
 public:
  // `label` describes the picture in a sentence, for those who cannot see it.
  Drawing(double width, double height, std::string_view label);

  // Colours are names of monitor/lab/pages/style.css, without their dashes, or "none".
  void box(const Box& box, std::string_view fill, std::string_view stroke = "none",
           double rounded = 0, std::string_view tip = {});
  void circle(double x, double y, double radius, std::string_view fill,
              std::string_view stroke = "none");
  void line(double x1, double y1, double x2, double y2, std::string_view stroke, double width = 1,
            bool dashed = false);
  // `anchor`: start, middle or end.
  void text(double x, double y, std::string_view words, std::string_view fill = "ink",
            double size = 13, std::string_view anchor = "start", bool bold = false);
  // Everything drawn between these two calls is a link to `target` in a page. `id` may be empty.
  void begin_link(std::string_view target, std::string_view id, std::string_view label);
  void end_link();

  // Everything drawn between these two calls can be shown and hidden together in a page.
  void begin_group(std::string_view name);
  void end_group();

  // The drawing for a page, in a scroll box, never narrower than `least_width` pixels.
  [[nodiscard]] std::string for_page(double least_width) const;
  // As wide as there is room, and all of it leads to `target`.
  [[nodiscard]] std::string for_preview(std::string_view target) const;
  [[nodiscard]] std::string for_file() const;

 private:
  void both(const std::string& text);
  double width_, height_;
  std::string label_, page_, file_;
};

// A picture that is also written to a file of its own, beside the pages.
struct Picture {
  std::string name;  // the file's, without ".svg"
  Drawing drawing;
};

}  // namespace ringshift::lab
