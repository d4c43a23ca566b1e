// The TOML library's boundary: text to tree, with bounds, and overrides merged in; nothing throws
// past it. Internal to config/.
#pragma once

#include <toml++/toml.h>

#include <optional>
#include <string>
#include <string_view>

#include "config/problems.h"

namespace config {

// Nothing, and a problem, when the text is not TOML or too large for one.
std::optional<toml::table> parse_document(std::string_view text, Problems& problems);

// Sets what "section.key=value" says. A value that is not TOML is taken as a string.
void apply_override(toml::table& root, std::string_view text, Problems& problems);

// A TOML string for an override, which may hold no control characters.
std::string toml_string(std::string_view text);

// A problem at the place of a node or key; the source says whether it came from an override.
void add_at(Problems& problems, const toml::source_region& source, std::string key,
            std::string message);

}  // namespace config
