#include "monitor/command/manual/man_page.h"

#include "monitor/command/qemu/words.h"

namespace ringshift::manual {
namespace {

constexpr char kAbout[] =
    "Ringshift runs unmodified 32-bit x86 operating systems as an ordinary Linux process. It needs "
    "no KVM, no kernel module, no root and no capability: it translates the guest's kernel code "
    "and "
    "runs the guest's user code directly, where the host allows it.";
constexpr char kImplied[] =
    "A command line that begins with an option, or with the name of a file, means run. A file that "
    "is no option's value is the image of the first hard disk.";
constexpr char kLikeRun[] = "All other options are those of run.";
constexpr char kSpelling[] =
    "Words with a single dash are those of qemu-system-i386. A line of that program is understood "
    "as it is, or refused with the reason. Every word with two dashes that is none of ours is read "
    "in the same way.";
constexpr char kFiles[] =
    "is the BIOS that a machine with a disk begins with (Debian: seabios); its display's BIOS is "
    "beside it, in /usr/share/seabios.";

// Text as it is: nothing in it is a request or an escape.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const bool at_line_start = out.empty() || out.back() == '\n';
    if (at_line_start && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";  // a minus, which can be copied and searched for
    } else if (c == '\'') {
      out += "\\(aq";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string bold(const std::string& text) { return "\\fB" + escaped(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + escaped(text) + "\\fR"; }

std::string heading(const std::string& text) { return ".SH \"" + text + "\"\n"; }
std::string paragraph(const std::string& text) { return ".PP\n" + escaped(text) + "\n"; }

// Lines as they are.
std::string block(const std::string& lines) {
  return lines.empty()
             ? ""
             : ".PP\n.nf\n" + escaped(lines) + (lines.back() == '\n' ? "" : "\n") + ".fi\n";
}

std::string item(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + escaped(text) + "\n";
}

std::string option_tag(const OptionText& option) {
  if (option.names.empty()) return italic(option.value);
  std::string tag;
  for (const std::string& name : option.names) tag += (tag.empty() ? "" : ", ") + bold(name);
  return option.value.empty() ? tag : tag + " " + italic(option.value);
}

std::string options_text(const CommandText& command) {
  std::string text, group;
  for (const OptionText& option : command.options) {
    const bool is_own = option.group != "Options";  // the heading of those that have none
    if (is_own && option.group != group) text += ".PP\n" + bold(option.group + ":") + "\n";
    group = option.group;
    text += item(option_tag(option), option.text);
  }
  return text;
}

// Options of a group stand together, whatever was added between them.
CommandText by_group(const CommandText& command) {
  CommandText sorted = command;
  sorted.options.clear();
  std::vector<std::string> groups;
  for (const OptionText& option : command.options) {
    bool is_new = true;
    for (const std::string& group : groups) is_new = is_new && group != option.group;
    if (is_new) groups.push_back(option.group);
  }
  for (const std::string& group : groups) {
    for (const OptionText& option : command.options) {
      if (option.group == group) sorted.options.push_back(option);
    }
  }
  return sorted;
}

std::string command_text(const CommandText& command) {
  std::string arguments;
  for (const OptionText& option : command.options) {
    if (option.names.empty()) arguments += " " + option.value;
  }
  std::string text = ".SS \"ringshift " + escaped(command.path + arguments) + "\"\n" +
                     escaped(command.text) + "\n" + options_text(by_group(command));
  if (command.takes_options_of_run) text += paragraph(kLikeRun);
  text += block(command.footer);
  for (const CommandText& part : command.commands) text += command_text(part);
  return text;
}

std::string synopsis(const CommandText& program) {
  std::string text;
  for (const CommandText& command : program.commands) {
    text += (text.empty() ? "" : ".br\n") + bold("ringshift " + command.name) + " " +
            italic(command.commands.empty() ? "OPTION..." : "PART OPTION...") + "\n";
  }
  return text;
}

std::string qemu_words() {
  std::string understood, idle, refused;
  for (const qemu::Word& word : qemu::all_words()) {
    switch (word.meaning) {
      case qemu::Meaning::Ours:
        understood += item(bold(word.name), std::string("is ") + word.text);
        break;
      case qemu::Meaning::Read:
      case qemu::Meaning::ReadLast:
        understood += item(bold(word.name) + (word.has_value ? " " + italic("VALUE") : ""),
                           "is read as QEMU reads it");
        break;
      case qemu::Meaning::Idle:
        idle += item(bold(word.name), word.text);
        break;
      case qemu::Meaning::Refused:
        refused += item(bold(word.name), word.text);
        break;
    }
  }
  return ".SS \"Understood\"\n" + understood + ".SS \"Understood, and without effect\"\n" + idle +
         ".SS \"Refused\"\n" + refused;
}

}  // namespace

std::string man_page(const CommandText& program, const std::string& version) {
  std::string text =
      ".TH RINGSHIFT 1 \"\" \"ringshift " + version + "\" \"User commands\"\n.ad l\n.nh\n";
  text += heading("NAME") +
          "ringshift \\- virtual machine for 32\\-bit x86 guests, without privileges\n";
  text += heading("SYNOPSIS") + synopsis(program);
  text += heading("DESCRIPTION") + escaped(kAbout) + "\n" + paragraph(kImplied);
  text += options_text(program);
  text += heading("COMMANDS");
  for (const CommandText& command : program.commands) text += command_text(command);
  text += heading("QEMU\\(aqS SPELLING") + escaped(kSpelling) + "\n" + qemu_words();
  text += heading("EXIT STATUS") + block(program.footer);
  text += heading("FILES") + item(bold("/usr/share/seabios/bios-256k.bin"), kFiles);
  text += heading("SEE ALSO") + bold("qemu-nbd") + "(8), " + bold("gdb") + "(1)\n";
  return text;
}

}  // namespace ringshift::manual
