// The console of a Weir that runs, by libpq.
#pragma once

#include <libpq-fe.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace top {

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
struct FreeWords {
  void operator()(PQconninfoOption* words) const { PQconninfoFree(words); }
};
using Connection = std::unique_ptr<PGconn, Finish>;
using Result = std::unique_ptr<PGresult, Clear>;

// How to connect, as PQconnectStartParams takes it. What a connection string does not say is by
// libpq's environment and files, and then 127.0.0.1:6432 and database weir.
class Conninfo {
 public:
  // application: its name, for the console; it must live as long.
  Conninfo(const std::string& conninfo, const char* application);
  const std::string& wrong() const { return wrong_; }  // "" = it can be used
  const char* const* names() const { return names_.data(); }
  const char* const* values() const { return values_.data(); }

 private:
  std::unique_ptr<PQconninfoOption, FreeWords> words_;
  std::string wrong_;
  std::vector<const char*> names_, values_;
};

// Runs one command there and waits for its end; notices go to standard output, why it failed to
// standard error. Answers the exit code: 3 if it failed.
int command(const std::string& conninfo, const char* sql);

}  // namespace top
