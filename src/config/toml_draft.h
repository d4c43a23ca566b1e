// A configuration file that is being written, with comments for people. Internal to the import.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace config {

std::string toml_text(std::string_view text);                     // a TOML string
std::string toml_list(const std::vector<std::string>& elements);  // of strings

class TomlDraft {
 public:
  void blank() { text_ += '\n'; }
  void comment(std::string_view words);  // wrapped into lines
  void table(std::string_view path);     // TOML's words: clusters."a b"
  // comment, if any: in front of the line.
  void set(std::string_view key, std::string_view toml_value, std::string_view why = "");

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace config
