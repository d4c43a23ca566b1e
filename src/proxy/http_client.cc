#include "proxy/http_client.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <utility>

namespace proxy {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::milliseconds kGlance{100};  // whether it is to stop

}  // namespace

HttpAnswer ask_http(const config::HttpUrl& url, HttpRequest asked, const StopSignal& stop) {
  asio::io_context context;
  beast::tcp_stream stream(context);
  asio::ip::tcp::resolver resolver(context);
  beast::error_code error;
  const auto found = resolver.resolve(url.host, std::to_string(url.port), error);
  if (error) return {.error = error.message(), .body = {}};
  // Synchronous calls of tcp_stream know no time limit: the asynchronous ones do.
  const auto wait = [&](auto start) {
    stream.expires_after(asked.timeout);
    context.restart();
    start([&](beast::error_code result, auto&&...) { error = result; });
    while (context.run_one_for(kGlance) != 0 || !context.stopped()) {
      if (stop.raised()) stream.cancel();
    }
    return !error;
  };
  http::request<http::string_body> request{asked.verb, url.path, 11};
  request.set(http::field::host, url.host);
  if (!asked.body.empty()) request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "weir");
  request.keep_alive(false);
  request.body() = std::move(asked.body);
  request.prepare_payload();
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> response;
  response.body_limit(asked.answer_max);
  response.header_limit(8u << 10);
  const bool answered =
      wait([&](auto done) { stream.async_connect(found, std::move(done)); }) &&
      wait([&](auto done) { http::async_write(stream, request, std::move(done)); }) &&
      wait([&](auto done) { http::async_read(stream, buffer, response, std::move(done)); });
  if (!answered) return {.error = error.message(), .body = {}};
  const unsigned status = response.get().result_int();
  stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, error);
  return {.error = status / 100 == 2 ? "" : "HTTP status " + std::to_string(status),
          .body = std::move(response.get().body())};
}

}  // namespace proxy
