// DECLARE, FETCH, MOVE and CLOSE: cursors as SQL has them, which some drivers read by.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "admin/words.h"

namespace admin {

struct Statement;

// Where FETCH and MOVE go.
struct CursorMove {
  enum class By : std::uint8_t {
    kForward,   // `count` rows, each of them is fetched; backward when negative
    kRelative,  // the row `count` further on
    kAbsolute,  // the row `count`, from the end when negative
  };
  static constexpr std::int64_t kAll = std::numeric_limits<std::int32_t>::max();
  By by = By::kForward;
  std::int64_t count = 1;  // within +-kAll
};

// nullopt: something else.
std::optional<Statement> parse_cursor(Words words);

}  // namespace admin
