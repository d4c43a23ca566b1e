#include "net/resolver.h"

#include <netdb.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "net/loop.h"

namespace net {
namespace {

absl::StatusOr<Resolver::Addresses> system_lookup(const std::string& host) {
  const addrinfo hints{.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* list = nullptr;
  const int code = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
  if (code != 0) {
    const char* why = code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code);
    return absl::UnavailableError(
        absl::StrCat("could not translate host name \"", host, "\" to address: ", why));
  }
  Resolver::Addresses addresses;
  for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
    Address address;
    if (at->ai_addrlen > sizeof address.storage) continue;
    std::memcpy(&address.storage, at->ai_addr, at->ai_addrlen);
    address.length = at->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

}  // namespace

Resolver::Resolver(Options options)
    : options_([&options] {
        if (!options.lookup) options.lookup = system_lookup;
        return std::move(options);
      }()) {
  thread_ = std::thread([this] { run(); });
}

Resolver::~Resolver() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Resolver::resolve(const std::string& host, std::uint16_t port, Done done) {
  if (auto literal = literal_address(host, port)) return done(Addresses{*literal});
  if (host.empty() || host.front() == '/') {
    return done(absl::InvalidArgumentError(
        host.empty() ? "empty host name"
                     : absl::StrCat("Unix-domain socket path \"", host, "\" is too long")));
  }
  std::unique_lock lock(mutex_);
  if (const Entry* entry = fresh_entry(host)) {
    auto answer = entry->answer(port);
    lock.unlock();
    return done(std::move(answer));
  }
  if (queue_.size() >= options_.queue_max) {
    lock.unlock();
    return done(absl::ResourceExhaustedError("too many host names wait for their addresses"));
  }
  queue_.push_back({host, port, std::move(done)});
  lock.unlock();
  wake_.notify_one();
}

void Resolver::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Request request = std::move(queue_.front());
    queue_.pop_front();
    absl::StatusOr<Addresses> answer = absl::CancelledError("shutting down");
    if (!stopping_) {
      const Entry* entry = fresh_entry(request.host);  // those before may have asked the same
      if (entry == nullptr) {
        lock.unlock();
        absl::StatusOr<Addresses> result = options_.lookup(request.host);
        lock.lock();
        entry = &remember(request.host, std::move(result));
      }
      answer = entry->answer(request.port);
    }
    lock.unlock();
    request.done(std::move(answer));
    request.done = nullptr;  // what it holds may call us when it goes
    lock.lock();
  }
}

const Resolver::Entry* Resolver::fresh_entry(const std::string& host) const {
  const auto found = cache_.find(host);
  return found != cache_.end() && read_clock() < found->second.until ? &found->second : nullptr;
}

Resolver::Entry& Resolver::remember(const std::string& host, absl::StatusOr<Addresses> result) {
  if (result.ok() && result->empty()) {
    result = absl::NotFoundError(absl::StrCat("host name \"", host, "\" has no address"));
  }
  if (cache_.size() >= options_.cache_max && !cache_.contains(host)) {
    cache_.erase(std::min_element(cache_.begin(), cache_.end(), [](const auto& a, const auto& b) {
      return a.second.until < b.second.until;
    }));
  }
  Entry& entry = cache_[host];
  entry.failure = result.status();
  if (result.ok()) entry.addresses = *std::move(result);
  entry.until = read_clock() + (entry.failure.ok() ? options_.fresh : options_.failure_fresh);
  return entry;
}

absl::StatusOr<Resolver::Addresses> Resolver::Entry::answer(std::uint16_t port) const {
  if (addresses.empty()) return failure;
  Addresses result = addresses;
  for (Address& address : result) address.set_port(port);
  return result;
}

}  // namespace net
