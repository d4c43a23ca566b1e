#include "protocol/nfkc.h"

#include <algorithm>
#include <compare>
#include <cstdint>
#include <iterator>
#include <vector>

namespace protocol {
namespace {

struct ClassRange {
  char32_t first, last;
  std::uint8_t combining_class;
};
struct DecompositionRange {
  char32_t first, last;
  std::uint16_t at;  // in the pool: one text with a closing 0 for each code point
};
struct Composition {
  char32_t first, second, composed;
};

#define PROTOCOL_NFKC_TABLES
#include "protocol/unicode_tables.inc"

// Hangul syllables: The Unicode Standard, section 3.12.
constexpr char32_t kSyllableBase = 0xac00, kLeadBase = 0x1100, kVowelBase = 0x1161,
                   kTailBase = 0x11a7;
constexpr char32_t kLeads = 19, kVowels = 21, kTails = 28;

// The range that holds the code point, or null.
template <class Range, std::size_t kSize>
const Range* find_range(const Range (&ranges)[kSize], char32_t code) {
  const auto* const found = std::partition_point(
      std::begin(ranges), std::end(ranges), [&](const Range& range) { return range.last < code; });
  return found != std::end(ranges) && found->first <= code ? found : nullptr;
}

std::uint8_t combining_class(char32_t code) {
  const ClassRange* range = find_range(kCombiningClasses, code);
  return range == nullptr ? std::uint8_t{0} : range->combining_class;
}

void append_decomposed(std::u32string& out, char32_t code) {
  if (code >= kSyllableBase && code < kSyllableBase + kLeads * kVowels * kTails) {
    const char32_t index = code - kSyllableBase;
    out.push_back(kLeadBase + index / (kVowels * kTails));
    out.push_back(kVowelBase + index / kTails % kVowels);
    if (index % kTails != 0) out.push_back(kTailBase + index % kTails);
    return;
  }
  const DecompositionRange* range = find_range(kDecompositions, code);
  if (range == nullptr) {
    out.push_back(code);
    return;
  }
  const char32_t* parts = kDecompositionPool + range->at;
  for (char32_t skipped = range->first; skipped < code; ++skipped) {
    while (*parts++ != 0) {
    }
  }
  out.append(parts);
}

struct Mark {
  std::uint8_t combining_class;
  std::size_t place;  // keeps the order of marks of one class
  char32_t code;
  auto operator<=>(const Mark&) const = default;
};

// Marks behind a base are put in the order of their classes.
void reorder(std::u32string& text) {
  std::vector<Mark> marks;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    const std::uint8_t here = at < text.size() ? combining_class(text[at]) : std::uint8_t{0};
    if (here != 0) {
      marks.push_back({here, at, text[at]});
      continue;
    }
    std::sort(marks.begin(), marks.end());
    std::size_t to = at - marks.size();
    for (const Mark& mark : marks) text[to++] = mark.code;
    marks.clear();
  }
}

// 0 when the two do not compose.
char32_t composed(char32_t first, char32_t second) {
  if (first >= kLeadBase && first < kLeadBase + kLeads && second >= kVowelBase &&
      second < kVowelBase + kVowels) {
    return kSyllableBase + ((first - kLeadBase) * kVowels + second - kVowelBase) * kTails;
  }
  if (first >= kSyllableBase && first < kSyllableBase + kLeads * kVowels * kTails &&
      (first - kSyllableBase) % kTails == 0 && second > kTailBase && second < kTailBase + kTails) {
    return first + second - kTailBase;
  }
  const auto* const found = std::partition_point(
      std::begin(kCompositions), std::end(kCompositions), [&](const Composition& entry) {
        return entry.first < first || (entry.first == first && entry.second < second);
      });
  const bool fits =
      found != std::end(kCompositions) && found->first == first && found->second == second;
  return fits ? found->composed : 0;
}

std::u32string compose(std::u32string_view text) {
  std::u32string out;
  std::size_t base = std::u32string::npos;  // where the last base is in `out`
  int last_class = 0;                       // of the last code point kept behind it
  for (const char32_t code : text) {
    const int here = combining_class(code);
    // A mark reaches its base unless one of the same class, or a base, stands between.
    const bool adjacent = base != std::u32string::npos && base + 1 == out.size();
    const bool reaches = base != std::u32string::npos && (adjacent || last_class < here);
    const char32_t both = reaches ? composed(out[base], code) : 0;
    if (both != 0) {
      out[base] = both;
      continue;
    }
    if (here == 0) base = out.size();
    last_class = here;
    out.push_back(code);
  }
  return out;
}

}  // namespace

std::u32string nfkc(std::u32string_view text) {
  std::u32string parts;
  for (const char32_t code : text) append_decomposed(parts, code);
  reorder(parts);
  return compose(parts);
}

}  // namespace protocol
