// One request over HTTP/1.1, without TLS, on a connection of its own.
#pragma once

#include <boost/beast/http/verb.hpp>
#include <chrono>
#include <cstddef>
#include <string>

#include "config/url.h"
#include "proxy/libpq_connection.h"

namespace proxy {

struct HttpAnswer {
  std::string error;  // "" = it was answered, with a status of 2xx
  std::string body;
};
struct HttpRequest {
  boost::beast::http::verb verb = boost::beast::http::verb::get;
  std::string body;                         // JSON, if any
  std::size_t answer_max = 64 << 10;        // bytes; a longer one is an error
  std::chrono::milliseconds timeout{5000};  // for each step
};

// Blocks the thread until it is answered, has failed, or `stop` was raised; a name is looked up for
// as long as the system's resolver takes.
HttpAnswer ask_http(const config::HttpUrl& url, HttpRequest asked, const StopSignal& stop);

}  // namespace proxy
