"""Writes html_entities.cc, beside this file, from the table of Python's html module."""
import html.entities
import pathlib


def literal(text):
    spelled = ""
    for byte in text.encode():
        printable = 0x20 <= byte < 0x7F and chr(byte) not in '"\\?'
        spelled += chr(byte) if printable else f"\\{byte:03o}"
    return f'"{spelled}"'


entries = [f"{{{literal(name)}, {literal(text)}}}," for name, text in sorted(html.entities.html5.items())]
lines, line = [], "   "
for entry in entries:
    if len(line) + 1 + len(entry) > 120:
        lines.append(line)
        line = "   "
    line += " " + entry
lines.append(line)

source = """// Written by make_html_entities.py: do not edit.
#include "text/html_entities.h"

namespace fovea::text::detail {
namespace {

// clang-format off
constexpr HtmlEntity entities[] = {
%s
};
// clang-format on

}  // namespace

std::span<const HtmlEntity> html_entities() { return entities; }

}  // namespace fovea::text::detail
""" % "\n".join(lines)
pathlib.Path(__file__).with_name("html_entities.cc").write_text(source)
