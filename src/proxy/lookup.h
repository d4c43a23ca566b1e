// auth_query: asks a server for the stored secret of a user that the configuration does not list.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "config/config.h"
#include "proxy/libpq_connection.h"

namespace proxy {

struct LookupRequest {
  std::string host;
  std::uint16_t port = 0;
  config::Tls tls;
  std::string dbname, user, password;  // of the look-up's own login, never the client's
  std::string query;                   // as config::Auth::auth_query
  std::string name;                    // $1
  base::milliseconds timeout{5'000};   // for connecting, and again for the answer
};

// Few threads with few connections, which are kept for a while. Equal questions that come together
// are asked once, answers are believed for a while, and a server that could not be reached is not
// tried again for a moment, so that it keeps no thread from the others.
//
// Thread rule: any thread.
class AuthLookup {
 public:
  // nullopt: no such user, or one without a secret (NULL). An error's message is for the log, not
  // for the client: kUnavailable and kDeadlineExceeded when the server cannot be asked, kNotFound
  // when it has no such database (as far as its language tells),
  // kFailedPrecondition when it does not like the query or we its answer, kResourceExhausted,
  // kCancelled at the end.
  struct Role {
    std::string secret;
    bool may_log_in = true;  // to be told only to those who prove that they know the secret
  };
  using Found = std::optional<Role>;
  using Done = absl::AnyInvocable<void(absl::StatusOr<Found>)>;

  struct Options {
    std::size_t threads = 2;
    std::size_t questions_max = 1'000;  // different ones that wait; beyond: kResourceExhausted
    std::size_t found_max = 10'000;     // secrets that are remembered
    std::size_t absent_max = 1'000;     // names without one that are remembered
    std::size_t connections_max = 8;    // kept idle
    base::milliseconds connection_idle{30'000};
    base::milliseconds found_fresh{30'000};  // config: auth_query_cache
    base::milliseconds absent_fresh{1'000};  // no longer than found_fresh
    base::milliseconds unreachable_fresh{500};
  };

  AuthLookup() : AuthLookup(Options{}) {}
  explicit AuthLookup(Options options);
  ~AuthLookup();  // interrupts what is under way; those who wait are answered kCancelled
  AuthLookup(const AuthLookup&) = delete;
  AuthLookup& operator=(const AuthLookup&) = delete;

  // done is called exactly once: on a look-up thread, except kResourceExhausted, at once.
  void find(LookupRequest request, Done done);

  void forget();  // what is remembered; a reload, a changed password
  void set_found_fresh(base::milliseconds fresh);  // for answers from now on

 private:
  struct Question {
    std::string key, login;
    LookupRequest request;
    std::vector<Done> waiting;  // as many as there are clients logging in
  };
  struct Remembered {
    absl::StatusOr<Found> answer;
    base::Time until;
  };
  using Memory = std::unordered_map<std::string, Remembered>;
  struct Idle {
    ServerLogin login;
    LibpqConnection connection;
    base::Time since;
  };

  void run();
  absl::StatusOr<Found> settle(Question& question, std::unique_lock<std::mutex>& lock);
  absl::StatusOr<Found> ask(const LookupRequest& request);
  static absl::StatusOr<Found> ask_on(LibpqConnection& connection, const LookupRequest& request);
  std::optional<LibpqConnection> take_idle(const ServerLogin& login);
  void keep_idle(ServerLogin login, LibpqConnection connection);

  // All of these with mutex_ held.
  std::list<Idle> take_expired();
  const Remembered* recall(const Question& question) const;
  void remember(const Question& question, const absl::StatusOr<Found>& answer);
  static void put(Memory& memory, std::size_t max, const std::string& key, Remembered value);

  const Options options_;
  StopSignal stop_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::list<Question> waiting_;
  std::unordered_map<std::string, Question*> open_;  // waiting or being asked, by key
  base::milliseconds found_fresh_;
  std::uint64_t generation_ = 0;         // of forget()
  Memory found_, absent_, unreachable_;  // by question, question, login
  std::list<Idle> idle_;                 // latest last
  std::vector<std::thread> threads_;
};

}  // namespace proxy
