#include "monitor/lab/parts/drawing.h"

#include <fmt/format.h>

#include "monitor/lab/parts/html.h"
#include "monitor/lab/parts/page_texts.h"

namespace ringshift::lab {
namespace {

std::string colour(std::string_view name) {
  return name == "none" ? "none" : fmt::format("var(--{})", name);
}

// The style's first block has the light colours.
std::string light_colour(std::string_view name) {
  const std::string_view style = page_style();
  const std::string key = fmt::format("--{}: ", name);
  const size_t at = style.find(key);
  if (at == std::string_view::npos) return "#000000";
  const size_t begin = at + key.size();
  return std::string(style.substr(begin, style.find(';', begin) - begin));
}

// var(--name) -> #rrggbb
std::string with_light_colours(std::string_view text) {
  constexpr std::string_view kOpening = "var(--";
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(kOpening); at != std::string_view::npos;
       at = text.find(kOpening, done)) {
    out += text.substr(done, at - done);
    const size_t begin = at + kOpening.size();
    const size_t end = text.find(')', begin);
    out += light_colour(text.substr(begin, end - begin));
    done = end + 1;
  }
  return out += text.substr(done);
}

}  // namespace

Drawing::Drawing(double width, double height, std::string_view label)
    : width_(width), height_(height), label_(escape(label)) {}

void Drawing::both(const std::string& text) {
  page_ += text;
  file_ += text;
}

void Drawing::box(const Box& box, std::string_view fill, std::string_view stroke, double rounded,
                  std::string_view tip) {
  std::string out = fmt::format(
      R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" stroke="{}")", box.x,
      box.y, box.width, box.height, colour(fill), colour(stroke));
  if (rounded > 0) out += fmt::format(R"( rx="{:.1f}")", rounded);
  out += tip.empty() ? "/>" : fmt::format("><title>{}</title></rect>", escape(tip));
  both(out + "\n");
}

void Drawing::circle(double x, double y, double radius, std::string_view fill,
                     std::string_view stroke) {
  both(fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}" stroke="{}"/>)", x, y,
                   radius, colour(fill), colour(stroke)) +
       "\n");
}

void Drawing::line(double x1, double y1, double x2, double y2, std::string_view stroke,
                   double width, bool dashed) {
  both(
      fmt::format(
          R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-width="{}"{}/>)",
          x1, y1, x2, y2, colour(stroke), width, dashed ? R"( stroke-dasharray="4 3")" : "") +
      "\n");
}

void Drawing::text(double x, double y, std::string_view words, std::string_view fill, double size,
                   std::string_view anchor, bool bold) {
  both(fmt::format(
           R"(<text x="{:.1f}" y="{:.1f}" fill="{}" font-size="{}" text-anchor="{}"{}>{}</text>)",
           x, y, colour(fill), size, anchor, bold ? R"( font-weight="700")" : "", escape(words)) +
       "\n");
}

void Drawing::begin_link(std::string_view target, std::string_view id, std::string_view label) {
  page_ += fmt::format(R"(<a href="{}" aria-label="{}")", escape(target), escape(label));
  if (!id.empty()) page_ += fmt::format(R"( data-id="{}")", escape(id));
  page_ += ">\n";
  file_ += "<g>\n";
}

void Drawing::end_link() {
  page_ += "</a>\n";
  file_ += "</g>\n";
}

void Drawing::begin_group(std::string_view name) {
  page_ += fmt::format("<g data-group=\"{}\">\n", escape(name));
  file_ += "<g>\n";
}

void Drawing::end_group() { both("</g>\n"); }

std::string Drawing::for_page(double least_width) const {
  return fmt::format(
      "<div class=\"picture\" tabindex=\"0\" role=\"group\" aria-label=\"{}\">"
      "<svg viewBox=\"0 0 {} {}\" style=\"min-width:{}px;max-width:{}px\">\n{}</svg></div>\n",
      label_, width_, height_, least_width, width_ * 1.25, page_);
}

std::string Drawing::for_preview(std::string_view target) const {
  // The words of the picture are too small to be read here, and are not read out.
  return fmt::format(
      "<a class=\"preview\" href=\"{}\" aria-label=\"{}\"><svg viewBox=\"0 0 {} {}\" "
      "aria-hidden=\"true\">\n{}</svg></a>\n",
      escape(target), label_, width_, height_, file_);
}

std::string Drawing::for_file() const {
  return with_light_colours(fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
      "viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" font-family=\"monospace\" "
      "xml:space=\"preserve\">\n"
      "<title>{2}</title>\n<rect width=\"{0}\" height=\"{1}\" fill=\"var(--paper)\"/>\n{3}</svg>\n",
      width_, height_, label_, file_));
}

}  // namespace ringshift::lab
