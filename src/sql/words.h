// Words by which a text that is not parsed gives away that it may change session state.
#pragma once

#include <string_view>

#include "sql/lexer.h"

namespace sql {

// What a string or a quoted name says, with what is doubled or escaped in it as it stands.
std::string_view inside_quotes(std::string_view quoted);

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

// Whether a function of this source, in SQL or PL/pgSQL, may leave something that outlasts its
// transaction by what is written there: SET but not SET LOCAL, EXECUTE of what nobody can read,
// CREATE TEMP ... also within strings. What the functions do that it calls is not looked at, but
// for set_config.
bool may_leave(std::string_view body);

// `lexer` stands behind set_config: whether the call ends with its transaction, its last argument
// being the word true.
bool is_local_call(Lexer lexer);

}  // namespace sql
