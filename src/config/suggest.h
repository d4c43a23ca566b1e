// "Did you mean ...?": the known word nearest to a mistyped one.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace config {

// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
// Both at most 64 bytes: O(64 * 64).
int edit_distance(std::string_view a, std::string_view b);

// The nearest candidate within a third of the word's length (at least 1, at most 4 edits);
// "" when none is near, or the word is longer than 64 bytes.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// "; did you mean \"x\"?", or "" when there is nothing to suggest.
std::string did_you_mean(std::string_view suggestion);

// The key that does the work of a PgBouncer setting, for those who move here; "" = none.
std::string_view for_pgbouncer_key(std::string_view key);

}  // namespace config
