// Words by which a text that is not parsed gives away that it may change session state.
#pragma once

#include <string_view>

#include "sql/lexer.h"

namespace sql {

// Fed with the tokens of a text, one after the other.
class StateWords {
 public:
  void see(const Lexer& lexer, const Token& token);
  // A statement began with SET, LISTEN, BEGIN ..., or a word like TEMP or nextval stood anywhere
  // outside strings and comments.
  bool found() const { return found_; }

 private:
  bool found_ = false;
  bool statement_start_ = true;
};

bool mentions_state(std::string_view text);

}  // namespace sql
