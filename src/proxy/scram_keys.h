// What PBKDF2 has made of passwords: it runs once for a password and salt, not at each log-in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "protocol/scram.h"

namespace proxy {

// One set of keys for each user and salt, of the latest password: another password or number of
// iterations replaces them. Holds no password. When full, any goes.
//
// Thread rule: any thread. Nothing is derived under the lock: who comes meanwhile derives it, too.
class ScramKeyBook {
 public:
  static constexpr std::size_t kEntriesMax = 4096;
  explicit ScramKeyBook(std::size_t entries_max = kEntriesMax,
                        protocol::ScramClient::Derive derive = protocol::derive_scram_keys);

  struct Of {
    std::string_view user, password, salt;
    std::uint32_t iterations = 4096;
  };
  // What is not known is derived and kept. With 4096 iterations that blocks for about 1 ms (0.9 ms
  // of CPU with SHA instructions, up to 3 ms without): for a user's first log-in, and for the
  // first one on a server.
  protocol::ScramKeys keys(const Of& of);
  // Whether `password` is the verifier's. Wrong ones are not kept, and so cost as much each time.
  bool matches(std::string_view user, std::string_view password,
               const protocol::ScramVerifier& verifier);
  std::size_t size() const;

 private:
  struct Entry {
    std::string fingerprint;  // of password and iterations, by a key of this process
    protocol::ScramKeys keys;
  };
  std::string fingerprint(const Of& of) const;
  std::optional<protocol::ScramKeys> find(const std::string& name,
                                          std::string_view fingerprint) const;
  void keep(const std::string& name, Entry entry);

  const std::size_t entries_max_;
  const protocol::ScramClient::Derive derive_;
  const std::string secret_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, Entry> known_;  // by user and salt
};

}  // namespace proxy
