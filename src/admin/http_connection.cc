#include "admin/http_connection.h"

#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <utility>

#include "admin/metrics.h"
#include "admin/readiness.h"
#include "admin/text.h"

namespace admin {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

namespace {

std::string address_of(const tcp::socket& socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return "?";
  return concat(peer.address().to_string(), ":", peer.port());
}

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

HttpConnection::HttpConnection(HttpCore& core, tcp::socket socket)
    : core_(core),
      stream_(std::move(socket)),
      peer_(address_of(stream_.socket())),
      timer_(core.io) {
  core_.connections.insert(this);
}

HttpConnection::~HttpConnection() {
  core_.connections.erase(this);
  give_up();
}

void HttpConnection::read() {
  parser_.emplace();
  parser_->header_limit(core_.limits.header_bytes);
  parser_->body_limit(core_.limits.body_bytes);
  stream_.expires_after(core_.limits.idle);
  idle_ = true;
  http::async_read(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](error_code error, std::size_t) { self->on_read(error); });
}

void HttpConnection::on_read(error_code error) {
  idle_ = false;
  version_ = 11;
  keep_alive_ = head_only_ = false;
  if (error == http::error::header_limit) {
    return write(plain(Status::request_header_fields_too_large, "header too large\n"));
  }
  if (error == http::error::body_limit) {
    return write(plain(Status::payload_too_large, "body too large\n"));
  }
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return write(plain(Status::bad_request, "bad request\n"));
  }
  if (error) return;  // gone, or too slow
  answer(parser_->get());
}

void HttpConnection::answer(const Request& request) {
  version_ = request.version();
  keep_alive_ = request.keep_alive() && !core_.retired;
  head_only_ = request.method() == http::verb::head;
  const std::string_view target = view(request.target());
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query =
      path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view();
  if (path.starts_with("/api/")) return api(request, path, query);
  const Asset* asset = find_asset(path);
  const bool known =
      asset != nullptr || path == "/metrics" || path == "/healthz" || path == "/readyz";
  if (!known) return write(plain(Status::not_found, "not found\n"));
  if (!allows(request, http::verb::get)) return;
  if (asset != nullptr) return write_asset(request, *asset);
  if (path == "/healthz") return write(plain(Status::ok, "ok\n"));
  if (path == "/readyz") {
    return inspect({}, [this](const auto& inspection) { return readiness(inspection); });
  }
  const bool open = accepts_open_metrics(view(request[http::field::accept]));
  inspect({}, [this, open](const auto& inspection) { return metrics(inspection, open); });
}

bool HttpConnection::allows(const Request& request, http::verb verb) {
  const bool is_api = view(request.target()).starts_with("/api/");
  const bool takes_body = verb == http::verb::post;
  const bool fits = request.method() == verb || (head_only_ && !takes_body);
  if (fits && (takes_body || request.body().empty())) return true;
  const Status status = fits ? Status::payload_too_large : Status::method_not_allowed;
  const std::string_view message = fits ? "no body expected" : "method not allowed";
  Answer refused = is_api ? problem(status, fits ? "body" : "method", message)
                          : plain(status, concat(message, "\n"));
  if (!fits) refused.set(http::field::allow, takes_body ? "POST" : "GET, HEAD");
  write(std::move(refused));
  return false;
}

std::uint64_t HttpConnection::wait(base::milliseconds limit, Answer late) {
  const std::uint64_t question = ++question_;
  stream_.expires_never();
  timer_.expires_after(limit);
  timer_.async_wait(
      [self = shared_from_this(), question, late = std::move(late)](error_code aborted) mutable {
        if (aborted || !self->take_turn(question)) return;
        self->give_up();
        self->write(std::move(late));
      });
  return question;
}

std::uint64_t HttpConnection::wait_for_proxy() {
  return wait(core_.limits.inspect,
              plain(Status::service_unavailable, "the proxy does not answer\n"));
}

void HttpConnection::leave_with_client(std::uint64_t question) {
  // Weakly: whoever is answered in between may close before its client does.
  stream_.socket().async_wait(
      tcp::socket::wait_read, [weak = weak_from_this(), question](error_code error) {
        const auto self = weak.lock();
        if (error || self == nullptr || self->question_ != question) return;
        char next = 0;
        self->stream_.socket().receive(asio::buffer(&next, 1), tcp::socket::message_peek, error);
        if (error == asio::error::would_block) return self->leave_with_client(question);
        if (!error) return;  // another request; its sender waits for this one's answer first
        self->take_turn(question);
        self->give_up();
      });
}

void HttpConnection::give_up() {
  if (const auto flag = std::exchange(given_up_, nullptr)) *flag = true;
}

bool HttpConnection::take_turn(std::uint64_t question) {
  if (question_ != question) return false;
  ++question_;
  timer_.cancel();
  return true;
}

void HttpConnection::inspect(proxy::InspectParts parts, Make make) {
  const std::uint64_t question = wait_for_proxy();
  core_.inspect(parts, [weak = weak_from_this(), question,
                        make = std::move(make)](const proxy::Inspection& inspection) mutable {
    const auto self = weak.lock();
    if (self != nullptr && self->take_turn(question)) self->write(make(inspection));
  });
}

HttpConnection::Answer HttpConnection::metrics(const proxy::Inspection& inspection, bool open) {
  const std::string metrics = metrics_text(inspection);
  Answer answer = open ? text(Status::ok, kOpenMetricsType, open_metrics(metrics))
                       : text(Status::ok, kMetricsType, metrics);
  answer.set(http::field::vary, "Accept");
  return answer;
}

HttpConnection::Answer HttpConnection::readiness(const proxy::Inspection& inspection) {
  const std::string why = why_not_ready(inspection, core_.control.draining());
  if (why.empty()) return plain(Status::ok, "ok\n");
  return plain(Status::service_unavailable, concat(why, "\n"));
}

HttpConnection::Answer HttpConnection::plain(Status status, std::string_view body) {
  return text(status, "text/plain; charset=utf-8", body);
}

HttpConnection::Answer HttpConnection::text(Status status, std::string_view type,
                                            std::string_view body) {
  Answer answer(status, version_);
  answer.set(http::field::server, "weir");
  answer.set(http::field::content_type, std::string(type));
  answer.set(http::field::cache_control, "no-store");
  // The page is of this origin alone: no scripts of others in it, it in no page of others.
  answer.set("Content-Security-Policy",
             "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  answer.set("X-Content-Type-Options", "nosniff");
  answer.set("X-Frame-Options", "DENY");
  answer.set("Referrer-Policy", "no-referrer");
  answer.set("Cross-Origin-Resource-Policy", "same-origin");
  answer.keep_alive(keep_alive_);
  answer.body().assign(body.data(), body.size());
  answer.prepare_payload();
  return answer;
}

void HttpConnection::write_asset(const Request& request, const Asset& asset) {
  const bool same = view(request[http::field::if_none_match]) == asset.tag;
  Answer answer =
      same ? text(Status::not_modified, asset.type, "") : text(Status::ok, asset.type, asset.body);
  answer.set(http::field::cache_control, "no-cache");  // kept, but asked for by its tag each time
  answer.set(http::field::etag, std::string(asset.tag));
  write(std::move(answer));
}

void HttpConnection::write(Answer answer) {
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

}  // namespace admin
