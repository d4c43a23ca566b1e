#include "proxy/scram_keys.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <utility>

#include "base/check.h"
#include "protocol/bytes.h"
#include "proxy/shared.h"

namespace proxy {
namespace {

std::string name_of(const ScramKeyBook::Of& of) {
  return (std::to_string(of.user.size()) + ":").append(of.user).append(of.salt);
}

}  // namespace

ScramKeyBook::ScramKeyBook(std::size_t entries_max, protocol::ScramClient::Derive derive)
    : entries_max_(entries_max), derive_(std::move(derive)), secret_(random_bytes(32)) {}

protocol::ScramKeys ScramKeyBook::keys(const Of& of) {
  const std::string name = name_of(of);
  Entry entry{.fingerprint = fingerprint(of), .keys = {}};
  if (const auto known = find(name, entry.fingerprint)) return *known;
  entry.keys = derive_(of.password, of.salt, of.iterations);
  const auto made = entry.keys;
  keep(name, std::move(entry));
  return made;
}

bool ScramKeyBook::matches(std::string_view user, std::string_view password,
                           const protocol::ScramVerifier& verifier) {
  const Of of{user, password, verifier.salt, verifier.iterations};
  const std::string name = name_of(of);
  Entry entry{.fingerprint = fingerprint(of), .keys = {}};
  const auto known = find(name, entry.fingerprint);
  entry.keys = known ? *known : derive_(password, verifier.salt, verifier.iterations);
  const auto made = protocol::scram_verifier_of(entry.keys, verifier.salt, verifier.iterations);
  if (made.stored_key != verifier.stored_key) return false;
  if (!known) keep(name, std::move(entry));
  return true;
}

std::size_t ScramKeyBook::size() const {
  std::lock_guard lock(mutex_);
  return known_.size();
}

std::string ScramKeyBook::fingerprint(const Of& of) const {
  const std::string text = (std::to_string(of.iterations) + ":").append(of.password);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  CHECK(HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
             protocol::as_bytes(text).data(), text.size(), digest.data(), &size) != nullptr);
  return {digest.begin(), digest.begin() + size};
}

std::optional<protocol::ScramKeys> ScramKeyBook::find(const std::string& name,
                                                      std::string_view fingerprint) const {
  std::lock_guard lock(mutex_);
  const auto it = known_.find(name);
  if (it == known_.end() || it->second.fingerprint != fingerprint) return std::nullopt;
  return it->second.keys;
}

void ScramKeyBook::keep(const std::string& name, Entry entry) {
  std::lock_guard lock(mutex_);
  if (known_.size() >= entries_max_ && !known_.contains(name)) known_.erase(known_.begin());
  known_.insert_or_assign(name, std::move(entry));
}

}  // namespace proxy
