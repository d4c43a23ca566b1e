// Names to addresses, on a thread of its own: getaddrinfo blocks.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/time.h"
#include "net/address.h"

namespace net {

// Thread rule: resolve() from any thread. A name's addresses are believed for a few seconds, so
// that a changed DNS record (a failover, say) is seen soon and a burst of connections asks once;
// they are also what is answered when a later look-up fails. A failure is believed for a moment.
class Resolver {
 public:
  using Addresses = std::vector<Address>;  // at least one, in the order to try them
  using Done = absl::AnyInvocable<void(absl::StatusOr<Addresses>)>;
  // Blocks; addresses without port.
  using Lookup = std::function<absl::StatusOr<Addresses>(const std::string& host)>;
  struct Options {
    base::Duration fresh = base::seconds(5);
    base::Duration failure_fresh = base::milliseconds(500);
    std::size_t queue_max = 10'000;  // requests that wait; beyond: kResourceExhausted
    std::size_t cache_max = 1'000;   // names
    Lookup lookup = nullptr;         // null = the system's
  };

  Resolver() : Resolver(Options{}) {}
  explicit Resolver(Options options);
  // Waits for a look-up that is under way (the system bounds it, by some seconds). Requests that
  // still wait are answered kCancelled.
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // done is called exactly once: at once, in the caller, when nobody needs to be asked (a literal,
  // a fresh answer, a full queue), else on the resolver's thread. It may call resolve().
  void resolve(const std::string& host, std::uint16_t port, Done done);

 private:
  struct Request {
    std::string host;
    std::uint16_t port;
    Done done;
  };
  struct Entry {
    Addresses addresses;   // the last good answer; empty = never any
    absl::Status failure;  // of the last look-up; OK when it was good
    base::Time until{};    // fresh before that
    absl::StatusOr<Addresses> answer(std::uint16_t port) const;
  };

  void run();
  const Entry* fresh_entry(const std::string& host) const;
  Entry& remember(const std::string& host, absl::StatusOr<Addresses> result);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Request> queue_;
  std::unordered_map<std::string, Entry> cache_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace net
