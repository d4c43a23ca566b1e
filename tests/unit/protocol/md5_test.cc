#include <doctest/doctest.h>

#include "protocol/scram.h"

using protocol::md5_answer;

// Stored by PostgreSQL 15 for: create role md5user password 'md5pass'. The answers were computed
// with md5sum(1): printf '7541...bc\xa2\xea\x7d\xf3' | md5sum
TEST_CASE("md5: the same answer from the password and from the stored secret") {
  const std::string salt = "\xa2\xea}\xf3";
  const std::string expected = "md56db09f9ac022dbba92058bb9439e923a";
  CHECK(md5_answer("md5pass", "md5user", salt) == expected);
  CHECK(md5_answer("md57541d4e65fae11bd07f18dc6fe2b02bc", "md5user", salt) == expected);
}

TEST_CASE("md5: only what has the exact form of a secret is one") {
  const std::string salt = "\1\2\3\4";
  const std::string secret = "md57541d4e65fae11bd07f18dc6fe2b02bc";
  CHECK(md5_answer("md5pass", "md5user", salt) == md5_answer(secret, "md5user", salt));
  CHECK(md5_answer(secret, "other", salt) == md5_answer(secret, "md5user", salt));
  // A digit too many, and a capital: passwords, so that the user's name counts.
  const std::string longer = secret + "0";
  CHECK(md5_answer(longer, "other", salt) != md5_answer(longer, "md5user", salt));
  const std::string capital = "md57541D4e65fae11bd07f18dc6fe2b02bc";
  CHECK(md5_answer(capital, "other", salt) != md5_answer(capital, "md5user", salt));
}
