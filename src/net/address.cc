#include "net/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

#include "absl/strings/str_cat.h"

namespace net {
namespace {

// sockaddr_storage is written and read as the family's own struct, by copies: no aliasing.
template <class Sockaddr>
Sockaddr as(const sockaddr_storage& storage) {
  Sockaddr result;
  std::memcpy(&result, &storage, sizeof result);
  return result;
}

template <class Sockaddr>
Address from(const Sockaddr& value, std::size_t length = sizeof(Sockaddr)) {
  Address address;
  std::memcpy(&address.storage, &value, sizeof value);
  address.length = static_cast<socklen_t>(length);
  return address;
}

std::optional<Address> unix_address(std::string_view directory, std::uint16_t port) {
  const std::string path = absl::StrCat(std::string(directory), "/.s.PGSQL.", port);
  sockaddr_un value{};
  if (path.size() >= sizeof value.sun_path) return std::nullopt;
  value.sun_family = AF_UNIX;
  std::memcpy(value.sun_path, path.data(), path.size());
  return from(value, offsetof(sockaddr_un, sun_path) + path.size() + 1);
}

std::optional<Address> ipv6_address(const std::string& host, std::uint16_t port) {
  // inet_pton knows no scopes.
  const addrinfo hints{
      .ai_flags = AI_NUMERICHOST, .ai_family = AF_INET6, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return std::nullopt;
  Address address;
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  freeaddrinfo(found);
  address.set_port(port);
  return address;
}

// FNV-1a, then a finalizer, since neighbours in a network differ in the last byte only.
std::uint64_t hash_bytes(std::span<const unsigned char> bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdu;
  return hash ^ (hash >> 33);
}

}  // namespace

std::string Address::text() const {
  if (is_unix()) return "unix";
  std::array<char, NI_MAXHOST> host;
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&storage), length, host.data(), host.size(),
                  nullptr, 0, NI_NUMERICHOST) != 0) {
    return "?";
  }
  return host.data();
}

std::uint16_t Address::port() const {
  if (storage.ss_family == AF_INET) return ntohs(as<sockaddr_in>(storage).sin_port);
  if (storage.ss_family == AF_INET6) return ntohs(as<sockaddr_in6>(storage).sin6_port);
  return 0;
}

void Address::set_port(std::uint16_t port) {
  if (storage.ss_family == AF_INET) {
    auto value = as<sockaddr_in>(storage);
    value.sin_port = htons(port);
    std::memcpy(&storage, &value, sizeof value);
  } else if (storage.ss_family == AF_INET6) {
    auto value = as<sockaddr_in6>(storage);
    value.sin6_port = htons(port);
    std::memcpy(&storage, &value, sizeof value);
  }
}

bool Address::is_unix() const { return storage.ss_family == AF_UNIX; }

std::uint64_t Address::hash() const {
  if (storage.ss_family == AF_INET) {
    const in_addr ip = as<sockaddr_in>(storage).sin_addr;
    return hash_bytes({reinterpret_cast<const unsigned char*>(&ip), sizeof ip});
  }
  if (storage.ss_family == AF_INET6) {
    const in6_addr ip = as<sockaddr_in6>(storage).sin6_addr;
    const std::span<const unsigned char> bytes(ip.s6_addr, sizeof ip.s6_addr);
    return hash_bytes(IN6_IS_ADDR_V4MAPPED(&ip) ? bytes.last(sizeof(in_addr)) : bytes);
  }
  return 0;
}

std::optional<Address> literal_address(std::string_view host, std::uint16_t port) {
  if (host.starts_with('/')) return unix_address(host, port);
  const std::string text(host);  // terminated
  if (text.size() != std::strlen(text.c_str())) return std::nullopt;
  if (host.find(':') != std::string_view::npos) return ipv6_address(text, port);
  sockaddr_in value{};
  if (inet_pton(AF_INET, text.c_str(), &value.sin_addr) != 1) return std::nullopt;
  value.sin_family = AF_INET;
  value.sin_port = htons(port);
  return from(value);
}

PeerUser peer_user(int fd) {
  ucred peer{};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return {};
  PeerUser user{.name = "", .number = std::to_string(peer.uid)};
  passwd entry{}, *found = nullptr;
  std::array<char, 4096> strings{};
  const int failed = getpwuid_r(peer.uid, &entry, strings.data(), strings.size(), &found);
  if (failed == 0 && found != nullptr) user.name = entry.pw_name;
  return user;
}

}  // namespace net
