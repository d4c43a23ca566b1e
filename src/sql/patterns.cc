#include "sql/patterns.h"

#include <re2/re2.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace sql {
namespace {

// FNV-1a; lengths are hashed in, so that no two lists run together.
struct Hash {
  std::uint64_t value = 0xcbf29ce484222325u;

  void add(std::string_view bytes) {
    add(bytes.size());
    for (const char c : bytes) step(static_cast<unsigned char>(c));
  }
  void add(std::uint64_t number) {
    for (int i = 0; i < 8; ++i, number >>= 8) step(number & 0xff);
  }
  void add(const std::vector<std::string>& list) {
    add(list.size());
    for (const std::string& element : list) add(element);
  }

 private:
  void step(std::uint64_t byte) { value = (value ^ byte) * 0x100000001b3u; }
};

bool is_meant(std::string_view written, std::string_view by) {
  if (written == by) return true;
  if (by.find('.') != std::string_view::npos) return false;
  return written.size() > by.size() && written.ends_with(by) &&
         written[written.size() - by.size() - 1] == '.';
}

// An empty list of a pattern asks for nothing.
bool any_meant(const std::vector<std::string>& written, const std::vector<std::string>& by) {
  return by.empty() || std::ranges::any_of(written, [&](const std::string& name) {
           return std::ranges::any_of(by,
                                      [&](const std::string& one) { return is_meant(name, one); });
         });
}

}  // namespace

struct Patterns::Regex {
  RE2 compiled;
};

Patterns::Patterns(std::vector<Pattern> patterns) : patterns_(std::move(patterns)) {
  CHECK(patterns_.size() <= kMax);
  if (patterns_.empty()) return;
  Hash hash;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    const Pattern& pattern = patterns_[i];
    hash.add(pattern.relations);
    hash.add(pattern.functions);
    hash.add(pattern.shapes.size());
    for (const std::uint64_t shape : pattern.shapes) hash.add(shape);
    hash.add(pattern.regex);
    all_ |= std::uint64_t{1} << i;
    regexes_.emplace_back();
    if (pattern.regex.empty()) continue;
    with_regex_ |= std::uint64_t{1} << i;
    RE2::Options options;
    options.set_log_errors(false);
    options.set_never_capture(true);
    options.set_max_mem(pattern.regex_bytes_max);
    regexes_.back().reset(new Regex{RE2(pattern.regex, options)});
    CHECK(regexes_.back()->compiled.ok());
  }
  id_ = std::max<std::uint64_t>(hash.value, 1);
}

Patterns::~Patterns() = default;

std::uint64_t Patterns::by_text(std::string_view text) const {
  std::uint64_t found = all_;
  for (std::uint64_t left = with_regex_; left != 0; left &= left - 1) {
    const auto& regex = regexes_[static_cast<std::size_t>(std::countr_zero(left))];
    const re2::StringPiece piece(text.data(), std::min(text.size(), kRegexTextMax));
    if (!RE2::PartialMatch(piece, regex->compiled)) found &= ~(left & -left);
  }
  return found;
}

std::uint64_t Patterns::match(const Analysis& analysis, std::uint64_t candidates) const {
  std::uint64_t found = candidates;
  for (std::uint64_t left = candidates; left != 0; left &= left - 1) {
    const Pattern& pattern = patterns_[static_cast<std::size_t>(std::countr_zero(left))];
    const bool holds = any_meant(analysis.relations, pattern.relations) &&
                       any_meant(analysis.functions, pattern.functions) &&
                       (pattern.shapes.empty() ||
                        std::ranges::find(pattern.shapes, analysis.shape) != pattern.shapes.end());
    if (!holds) found &= ~(left & -left);
  }
  return found;
}

}  // namespace sql
