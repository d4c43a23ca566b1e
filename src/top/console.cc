#include "top/console.h"

#include <cstdio>
#include <cstdlib>

namespace top {
namespace {

// Of a word that was not given; null = libpq's.
const char* default_of(std::string_view word, const char* application) {
  if (word == "dbname") return "weir";
  if (word == "host") return std::getenv("PGHOST") == nullptr ? "127.0.0.1" : nullptr;
  if (word == "port") return std::getenv("PGPORT") == nullptr ? "6432" : nullptr;
  if (word == "application_name") return application;
  if (word == "client_encoding") return "UTF8";
  return nullptr;
}

void print_notice(void*, const PGresult* notice) {
  std::printf("weir: %s\n", PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

int fail(const char* why) {
  std::fprintf(stderr, "weir: %s%s", why, std::string_view(why).ends_with('\n') ? "" : "\n");
  return 3;
}

}  // namespace

Conninfo::Conninfo(const std::string& conninfo, const char* application) {
  char* wrong = nullptr;
  words_.reset(PQconninfoParse(conninfo.c_str(), &wrong));
  if (!words_) {
    wrong_ = wrong == nullptr ? "out of memory" : wrong;
    PQfreemem(wrong);
  }
  for (const auto* word = words_.get(); word != nullptr && word->keyword != nullptr; ++word) {
    const char* value = word->val != nullptr ? word->val : default_of(word->keyword, application);
    if (value == nullptr) continue;
    names_.push_back(word->keyword);
    values_.push_back(value);
  }
  names_.push_back(nullptr);
  values_.push_back(nullptr);
}

int command(const std::string& conninfo, const char* sql) {
  const Conninfo words(conninfo, "weir");
  if (!words.wrong().empty()) return fail(words.wrong().c_str());
  const Connection connection(
      PQconnectdbParams(words.names(), words.values(), /*expand_dbname=*/0));
  if (PQstatus(connection.get()) != CONNECTION_OK) return fail(PQerrorMessage(connection.get()));
  PQsetNoticeReceiver(connection.get(), print_notice, nullptr);
  const Result result(PQexec(connection.get(), sql));
  if (PQresultStatus(result.get()) == PGRES_COMMAND_OK) return 0;
  const char* why = PQresultErrorField(result.get(), PG_DIAG_MESSAGE_PRIMARY);
  return fail(why != nullptr ? why : PQerrorMessage(connection.get()));
}

}  // namespace top
