#include "admin/http_watchers.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/http_core.h"
#include "admin/sample.h"
#include "admin/text.h"

namespace admin {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

// Less than the kernel would take by itself: what it holds is not seen to be late.
constexpr int kSendBuffer = 64 << 10;

std::shared_ptr<const std::string> event(std::string_view name, const std::string& json) {
  return std::make_shared<const std::string>(concat("event: ", name, "\ndata: ", json, "\n\n"));
}

}  // namespace

HttpWatchers::HttpWatchers(HttpCore& core) : core_(core), timer_(core.io) {}

void HttpWatchers::add(tcp::socket socket, std::string head) {
  const auto watcher = std::make_shared<Watcher>(Watcher{.socket = std::move(socket)});
  error_code ignored;
  watcher->socket.set_option(asio::socket_base::send_buffer_size(kSendBuffer), ignored);
  const bool first = watchers_.empty();
  watchers_.insert(watcher);
  read(watcher);
  send(watcher, std::make_shared<const std::string>(std::move(head)));
  for (const Text& latest : {overview_, detail_}) {
    if (latest != nullptr) send(watcher, latest);
  }
  if (!first) return;
  ticks_ = 0;
  tick();
}

void HttpWatchers::close() {
  const std::vector<WatcherPtr> all(watchers_.begin(), watchers_.end());
  for (const WatcherPtr& watcher : all) drop(watcher);
}

void HttpWatchers::tick() {
  ask_overview();
  if (ticks_++ % kDetailEvery == 0) ask_detail();
  timer_.expires_after(core_.limits.watch);
  timer_.async_wait([this](error_code aborted) {
    if (!aborted && !watchers_.empty()) tick();
  });
}

// A proxy that is late is not asked again before it has answered.
void HttpWatchers::ask_overview() {
  if (std::exchange(overview_asked_, true)) return;
  core_.inspect(kOverviewNeeds, [this](const proxy::Inspection& inspection) {
    overview_asked_ = false;
    if (watchers_.empty()) return;
    clients_ = inspection.client_count;
    overview_ = event("overview", core_.tell(inspection, [&](const Source& source) {
      return overview_json(source, core_.control.draining());
    }));
    publish(overview_);
  });
}

void HttpWatchers::ask_detail() {
  if (std::exchange(detail_asked_, true)) return;
  const proxy::InspectParts parts = detail_needs(clients_);
  core_.inspect(parts, [this, parts](const proxy::Inspection& inspection) {
    detail_asked_ = false;
    if (watchers_.empty()) return;
    detail_ = event("detail", core_.tell(inspection, [&](const Source& source) {
      return detail_json(source, parts);
    }));
    publish(detail_);
  });
}

void HttpWatchers::publish(const Text& event) {
  const std::vector<WatcherPtr> all(watchers_.begin(), watchers_.end());
  for (const WatcherPtr& watcher : all) send(watcher, event);
}

void HttpWatchers::send(const WatcherPtr& watcher, const Text& event) {
  if (watcher->queue.size() >= kQueue) return drop(watcher);
  watcher->queue.push_back(event);
  if (watcher->queue.size() == 1) write(watcher);
}

void HttpWatchers::write(const WatcherPtr& watcher) {
  asio::async_write(watcher->socket, asio::buffer(*watcher->queue.front()),
                    [this, watcher](error_code error, std::size_t) {
                      if (error) return drop(watcher);
                      watcher->queue.pop_front();
                      if (!watcher->queue.empty()) write(watcher);
                    });
}

void HttpWatchers::read(const WatcherPtr& watcher) {
  watcher->socket.async_read_some(asio::buffer(watcher->scrap),
                                  [this, watcher](error_code error, std::size_t) {
                                    if (error) return drop(watcher);
                                    read(watcher);
                                  });
}

void HttpWatchers::drop(const WatcherPtr& watcher) {
  if (watchers_.erase(watcher) == 0) return;
  error_code ignored;
  watcher->socket.close(ignored);
  if (!watchers_.empty()) return;
  timer_.cancel();
  overview_ = detail_ = nullptr;
}

}  // namespace admin
