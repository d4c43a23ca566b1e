#include "admin/http.h"

#include <spdlog/spdlog.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <utility>

#include "admin/http_connection.h"
#include "admin/http_core.h"
#include "admin/text.h"

namespace admin {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

void HttpCore::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {  // no descriptors left, most likely: wait for some
      accept_again.expires_after(std::chrono::milliseconds(100));
      accept_again.async_wait([this](error_code aborted) {
        if (!aborted) accept();
      });
      return;
    }
    if (!full()) std::make_shared<HttpConnection>(*this, std::move(socket))->read();
    accept();
  });
}

void HttpCore::inspect(proxy::InspectParts parts,
                       absl::AnyInvocable<void(proxy::Inspection)> done) {
  control.inspect(
      [weak = weak_from_this(), done = std::move(done)](proxy::Inspection inspection) mutable {
        const auto core = weak.lock();
        if (core == nullptr) return;
        asio::post(core->io,
                   [done = std::move(done), inspection = std::move(inspection)]() mutable {
                     done(std::move(inspection));
                   });
      },
      parts);
}

std::string HttpCore::tell(const proxy::Inspection& inspection,
                           absl::FunctionRef<std::string(const Source&)> make) const {
  const config::ConfigPtr config = control.config();
  const Averages averages = engine->engine()->averages();
  return make({inspection, *config, averages});
}

HttpServer::HttpServer(std::shared_ptr<HttpCore> core) : core_(std::move(core)) {
  core_->thread = std::thread([core = core_.get(), work = asio::make_work_guard(core_->io)] {
    for (;;) {
      try {
        core->io.run();
        return;
      } catch (const std::exception& e) {  // out of memory; the one connection is lost
        spdlog::error("http: {}", e.what());
      }
    }
  });
}

HttpServer::~HttpServer() {
  core_->io.stop();
  core_->thread.join();
}

void HttpServer::begin() {
  asio::post(core_->io, [core = core_.get()] { core->accept(); });
}

void HttpServer::retire() {
  asio::post(core_->io, [core = core_.get()] {
    core->retired = true;
    error_code ignored;
    core->accept_again.cancel();
    core->acceptor.close(ignored);
    core->watchers.close();
    for (HttpConnection* connection : core->connections) connection->leave_if_idle();
  });
}

std::uint16_t HttpServer::port() const { return core_->port; }
int HttpServer::listening() const { return core_->acceptor.native_handle(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::start(
    const std::string& host, std::uint16_t port, proxy::Control& control,
    std::shared_ptr<EngineOwner> engine, const HttpLimits& limits, int inherited) {
  const auto failed = [&](const error_code& error) {
    return absl::UnavailableError(concat("http ", host, ":", port, ": ", error.message()));
  };
  try {
    auto core = std::make_shared<HttpCore>(control, std::move(engine), limits);
    error_code error;
    const auto address = asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error);
    if (error) return failed(error);
    const tcp::endpoint endpoint(address, port);
    if (inherited >= 0) {
      core->acceptor.assign(endpoint.protocol(), inherited, error);
    } else {
      core->acceptor.open(endpoint.protocol(), error);
      if (!error) core->acceptor.set_option(tcp::acceptor::reuse_address(true), error);
      if (!error) core->acceptor.bind(endpoint, error);
      if (!error) core->acceptor.listen(asio::socket_base::max_listen_connections, error);
    }
    if (error) return failed(error);
    core->port = core->acceptor.local_endpoint(error).port();
    if (error) return failed(error);
    return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
  } catch (const std::exception& e) {  // Asio could not get what an io_context needs
    return absl::ResourceExhaustedError(concat("http: ", e.what()));
  }
}

}  // namespace admin
