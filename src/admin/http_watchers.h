// Those who watch: every second's sample is made once and sent to all (server-sent events).
#pragma once

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>

#include "base/time.h"
#include "proxy/inspect.h"

namespace admin {

struct HttpCore;

// With nobody there, nothing runs. Whoever reads too slowly is dropped: nobody keeps more than
// kQueue samples. On the HTTP server's thread.
class HttpWatchers {
 public:
  explicit HttpWatchers(HttpCore& core);

  std::size_t size() const { return watchers_.size(); }
  // From now on the socket is sent `head`, then events, until it is closed.
  void add(boost::asio::ip::tcp::socket socket, std::string head);
  void close();  // all of them

 private:
  using Text = std::shared_ptr<const std::string>;
  struct Watcher {
    boost::asio::ip::tcp::socket socket;
    std::deque<Text> queue;  // the first is being sent
    std::array<char, 256> scrap{};
  };
  using WatcherPtr = std::shared_ptr<Watcher>;

  static constexpr std::size_t kQueue = 6;
  static constexpr std::uint64_t kDetailEvery = 5;  // ticks

  void tick();
  void ask_overview();
  void ask_detail();
  void publish(const Text& event);
  void send(const WatcherPtr& watcher, const Text& event);
  void write(const WatcherPtr& watcher);
  void read(const WatcherPtr& watcher);  // what it sends means nothing, but its end does
  void drop(const WatcherPtr& watcher);

  HttpCore& core_;
  std::set<WatcherPtr> watchers_;
  boost::asio::steady_timer timer_;
  std::uint64_t ticks_ = 0;
  bool overview_asked_ = false, detail_asked_ = false;
  std::uint64_t clients_ = 0;  // at the latest sample
  Text overview_, detail_;     // the latest; for who comes next
};

}  // namespace admin
