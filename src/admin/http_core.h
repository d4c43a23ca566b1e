// What the connections of the HTTP server share. Internal to http*.cc.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "admin/engine.h"
#include "admin/http.h"
#include "admin/http_watchers.h"
#include "admin/table.h"
#include "proxy/control.h"

namespace admin {

class HttpConnection;

// Everything runs on its one thread. Shared with callbacks of Control's that come late; they hold
// it weakly.
struct HttpCore : std::enable_shared_from_this<HttpCore> {
  HttpCore(proxy::Control& its_control, std::shared_ptr<EngineOwner> its_engine,
           const HttpLimits& its_limits)
      : control(its_control), engine(std::move(its_engine)), limits(its_limits) {}

  void accept();
  // Asks Control; `done` is called on this thread, or never.
  void inspect(proxy::InspectParts parts, absl::AnyInvocable<void(proxy::Inspection)> done);
  // What `make` makes of the console's tables as the inspection has them.
  std::string tell(const proxy::Inspection& inspection,
                   absl::FunctionRef<std::string(const Source&)> make) const;
  bool full() const { return connections.size() + watchers.size() >= limits.connections; }

  proxy::Control& control;
  const std::shared_ptr<EngineOwner> engine;
  const HttpLimits limits;
  std::set<HttpConnection*> connections;
  bool retired = false;
  std::uint16_t port = 0;
  boost::asio::io_context io{1};
  boost::asio::ip::tcp::acceptor acceptor{io};
  boost::asio::steady_timer accept_again{io};
  HttpWatchers watchers{*this};
  std::thread thread;
};

}  // namespace admin
