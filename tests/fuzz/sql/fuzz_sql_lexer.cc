// Tokens tile the text in order, and begin where PostgreSQL's scanner says; a shape is stable.
#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "sql/hint.h"
#include "sql/lexer.h"
#include "sql/shape.h"
#include "sql/words.h"

namespace {

std::vector<std::size_t> begins_of(std::string_view text, bool& valid) {
  std::vector<std::size_t> begins;
  sql::Lexer lexer(text);
  std::size_t before = 0;
  for (;;) {
    const sql::Token token = lexer.next();
    if (token.kind == sql::TokenKind::kEnd) break;
    CHECK(token.begin >= before);
    CHECK(token.end > token.begin || token.kind == sql::TokenKind::kInvalid);
    CHECK(token.end <= text.size());
    before = token.end;
    begins.push_back(token.begin);
    valid = valid && token.kind != sql::TokenKind::kInvalid;
  }
  return begins;
}

void compare_with_postgres(const std::string& text, const std::vector<std::size_t>& ours) {
  const PgQueryScanResult scanned = pg_query_scan(text.c_str());
  if (scanned.error == nullptr) {
    PgQuery__ScanResult* tokens = pg_query__scan_result__unpack(
        nullptr, scanned.pbuf.len, reinterpret_cast<const std::uint8_t*>(scanned.pbuf.data));
    std::size_t n = 0;
    for (std::size_t i = 0; i < tokens->n_tokens; ++i) {
      const PgQuery__ScanToken& theirs = *tokens->tokens[i];
      if (theirs.token == PG_QUERY__TOKEN__SQL_COMMENT ||
          theirs.token == PG_QUERY__TOKEN__C_COMMENT)
        continue;
      CHECK(n < ours.size());
      CHECK(ours[n] == static_cast<std::size_t>(theirs.start));
      ++n;
    }
    CHECK(n == ours.size());
    pg_query__scan_result__free_unpacked(tokens, nullptr);
  }
  pg_query_free_scan_result(scanned);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  bool valid = true;
  const std::vector<std::size_t> begins = begins_of(text, valid);
  // libpg_query keeps comments as tokens, and so does not join 'a' -- x <newline> 'b' as the
  // server does.
  const bool joined = text.find("--") != std::string::npos;
  if (valid && !joined && text.find('\0') == std::string::npos) compare_with_postgres(text, begins);

  sql::Shaper shaper;
  const sql::Shape first = shaper.shape(text, {.state_words = true});
  CHECK(first.hash != 0);
  CHECK(shaper.shape(text, {}).hash == first.hash);
  CHECK(first.valid == valid);
  if (!first.reduced.empty()) {
    CHECK(first.reduced.size() < text.size());
    const sql::Shape second = shaper.shape(first.reduced, {});
    CHECK(second.hash == first.hash);
    CHECK(second.text == first.text);
  }
  sql::find_hints(text);
  sql::mentions_state(text);
  return 0;
}
