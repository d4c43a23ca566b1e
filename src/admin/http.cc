#include "admin/http.h"

#include <spdlog/spdlog.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <exception>
#include <optional>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "admin/metrics.h"
#include "admin/readiness.h"
#include "admin/text.h"

namespace admin {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

// Shared with callbacks of Control's that come late; they hold it weakly.
struct HttpServer::Core : std::enable_shared_from_this<Core> {
  class Connection;

  Core(proxy::Control& c, const HttpLimits& l) : control(c), limits(l) {}
  void accept();

  proxy::Control& control;
  const HttpLimits limits;
  std::set<Connection*> connections;
  bool retired = false;
  std::uint16_t port = 0;
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer accept_again{io};
  std::thread thread;
};

// One client, request after request. Owned by the handlers under way.
class HttpServer::Core::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Core& core, tcp::socket socket)
      : core_(core), stream_(std::move(socket)), timer_(core.io) {
    core_.connections.insert(this);
  }
  ~Connection() { core_.connections.erase(this); }

  void read();
  // What has come for the first time was promised an answer by the socket that took it.
  void leave_if_idle() {
    if (served_ && idle_ && buffer_.size() == 0 && !parser_->got_some()) stream_.cancel();
  }

 private:
  using Answer = http::response<http::string_body>;
  using Make = Answer (Connection::*)(const proxy::Inspection&);

  void answer(const http::request<http::empty_body>& request);
  // Asks Control, then writes what `make` makes of it.
  void inspect(Make make);
  Answer metrics(const proxy::Inspection& inspection);
  Answer readiness(const proxy::Inspection& inspection);
  Answer plain(http::status status, std::string_view body);
  void write(Answer answer);

  Core& core_;
  beast::tcp_stream stream_;
  asio::steady_timer timer_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  std::optional<Answer> answer_;
  unsigned version_ = 11;
  bool idle_ = true;     // waits for a request
  bool served_ = false;  // it has had an answer
  bool keep_alive_ = false;
  bool head_only_ = false;
  bool open_metrics_ = false;
  std::uint64_t question_ = 0;  // of inspect(): a late answer to an older one is dropped
};

void HttpServer::Core::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (error) {  // no descriptors left, most likely: wait for some
      accept_again.expires_after(std::chrono::milliseconds(100));
      accept_again.async_wait([this](error_code aborted) {
        if (!aborted) accept();
      });
      return;
    }
    if (connections.size() < limits.connections) {
      std::make_shared<Connection>(*this, std::move(socket))->read();
    }
    accept();
  });
}

void HttpServer::Core::Connection::read() {
  parser_.emplace();
  parser_->header_limit(core_.limits.header_bytes);
  parser_->body_limit(0);
  stream_.expires_after(core_.limits.idle);
  idle_ = true;
  http::async_read(
      stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, std::size_t) {
        self->idle_ = false;
        self->version_ = 11;
        self->keep_alive_ = self->head_only_ = false;
        if (error == http::error::header_limit) {
          return self->write(
              self->plain(http::status::request_header_fields_too_large, "header too large\n"));
        }
        if (error == http::error::body_limit) {
          return self->write(self->plain(http::status::payload_too_large, "no body expected\n"));
        }
        if (error.category() == http::make_error_code(http::error::bad_method).category() &&
            error != http::error::end_of_stream && error != http::error::partial_message) {
          return self->write(self->plain(http::status::bad_request, "bad request\n"));
        }
        if (error) return;  // gone, or too slow
        self->answer(self->parser_->get());
      });
}

void HttpServer::Core::Connection::answer(const http::request<http::empty_body>& request) {
  version_ = request.version();
  keep_alive_ = request.keep_alive() && !core_.retired;
  head_only_ = request.method() == http::verb::head;
  const auto accept = request[http::field::accept];
  open_metrics_ = accepts_open_metrics({accept.data(), accept.size()});
  std::string_view path(request.target().data(), request.target().size());
  path = path.substr(0, path.find('?'));
  const bool known = path == "/metrics" || path == "/healthz" || path == "/readyz";
  if (!known) return write(plain(http::status::not_found, "not found\n"));
  if (request.method() != http::verb::get && !head_only_) {
    Answer refused = plain(http::status::method_not_allowed, "method not allowed\n");
    refused.set(http::field::allow, "GET, HEAD");
    return write(std::move(refused));
  }
  if (path == "/healthz") return write(plain(http::status::ok, "ok\n"));
  inspect(path == "/metrics" ? &Connection::metrics : &Connection::readiness);
}

void HttpServer::Core::Connection::inspect(Make make) {
  const std::uint64_t question = ++question_;
  stream_.expires_never();
  timer_.expires_after(core_.limits.inspect);
  timer_.async_wait([self = shared_from_this(), question](error_code aborted) {
    if (aborted || self->question_ != question) return;
    ++self->question_;
    self->write(self->plain(http::status::service_unavailable, "the proxy does not answer\n"));
  });
  core_.control.inspect([core = core_.weak_from_this(), weak = weak_from_this(), question,
                         make](proxy::Inspection inspection) {
    const auto alive = core.lock();
    if (alive == nullptr) return;
    asio::post(alive->io, [weak, question, make, inspection = std::move(inspection)] {
      const auto self = weak.lock();
      if (self == nullptr || self->question_ != question) return;
      ++self->question_;
      self->timer_.cancel();
      self->write((self.get()->*make)(inspection));
    });
  });
}

HttpServer::Core::Connection::Answer HttpServer::Core::Connection::metrics(
    const proxy::Inspection& inspection) {
  const std::string text = metrics_text(inspection);
  Answer answer = plain(http::status::ok, open_metrics_ ? open_metrics(text) : text);
  answer.set(http::field::content_type, open_metrics_ ? kOpenMetricsType : kMetricsType);
  answer.set(http::field::vary, "Accept");
  return answer;
}

HttpServer::Core::Connection::Answer HttpServer::Core::Connection::readiness(
    const proxy::Inspection& inspection) {
  const std::string why = why_not_ready(inspection, core_.control.draining());
  if (why.empty()) return plain(http::status::ok, "ok\n");
  return plain(http::status::service_unavailable, concat(why, "\n"));
}

HttpServer::Core::Connection::Answer HttpServer::Core::Connection::plain(http::status status,
                                                                         std::string_view body) {
  Answer answer(status, version_);
  answer.set(http::field::server, "weir");
  answer.set(http::field::content_type, "text/plain; charset=utf-8");
  answer.set(http::field::cache_control, "no-store");
  answer.keep_alive(keep_alive_);
  answer.body().assign(body.data(), body.size());
  answer.prepare_payload();
  return answer;
}

void HttpServer::Core::Connection::write(Answer answer) {
  if (head_only_) answer.body().clear();  // after prepare_payload: Content-Length stays
  answer_ = std::move(answer);
  stream_.expires_after(core_.limits.idle);
  http::async_write(stream_, *answer_, [self = shared_from_this()](error_code error, std::size_t) {
    if (error) return;
    self->served_ = true;
    if (self->keep_alive_ && !self->core_.retired) return self->read();
    self->stream_.socket().shutdown(tcp::socket::shutdown_send, error);
  });
}

HttpServer::HttpServer(std::shared_ptr<Core> core) : core_(std::move(core)) {
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
    for (Core::Connection* connection : core->connections) connection->leave_if_idle();
  });
}

std::uint16_t HttpServer::port() const { return core_->port; }
int HttpServer::listening() const { return core_->acceptor.native_handle(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::start(const std::string& host,
                                                              std::uint16_t port,
                                                              proxy::Control& control,
                                                              const HttpLimits& limits,
                                                              int inherited) {
  const auto failed = [&](const error_code& error) {
    return absl::UnavailableError(concat("http ", host, ":", port, ": ", error.message()));
  };
  try {
    auto core = std::make_shared<Core>(control, limits);
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
