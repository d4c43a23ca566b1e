#include "config/toml_draft.h"

#include <array>
#include <cstdio>

#include "config/concat.h"

namespace config {

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      std::array<char, 8> escape{};
      std::snprintf(escape.data(), escape.size(), "\\u%04X", static_cast<unsigned>(byte));
      out += escape.data();
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string toml_list(const std::vector<std::string>& elements) {
  std::string out = "[";
  for (const auto& element : elements) append(out, out.size() > 1 ? ", " : "", toml_text(element));
  return out + "]";
}

void TomlDraft::comment(std::string_view words) {
  constexpr std::size_t kWidth = 98;
  while (!words.empty()) {
    std::size_t length = words.size();
    if (length > kWidth) {
      length = words.substr(0, kWidth + 1).rfind(' ');
      if (length == 0 || length == std::string_view::npos) length = words.find(' ', kWidth);
      if (length == std::string_view::npos) length = words.size();
    }
    text_ += "# ";
    // A line break or another control character would end the comment, or break the file.
    for (const char c : words.substr(0, length)) {
      text_ += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
    text_ += '\n';
    words.remove_prefix(length);
    if (words.starts_with(' ')) words.remove_prefix(1);
  }
}

void TomlDraft::table(std::string_view path) { append(text_, "[", path, "]\n"); }

void TomlDraft::set(std::string_view key, std::string_view toml_value, std::string_view why) {
  comment(why);
  append(text_, key, " = ", toml_value, "\n");
}

}  // namespace config
