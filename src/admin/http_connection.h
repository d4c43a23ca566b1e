// One client of the HTTP port, request after request. Internal to http*.cc.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "admin/access.h"
#include "admin/assets.h"
#include "admin/http_core.h"
#include "admin/json.h"

namespace admin {

// Owned by the handlers under way.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(HttpCore& core, boost::asio::ip::tcp::socket socket);
  ~HttpConnection();

  void read();
  // What has come for the first time was promised an answer by the socket that took it.
  void leave_if_idle() {
    if (served_ && idle_ && buffer_.size() == 0 && !parser_->got_some()) stream_.cancel();
  }

 private:
  using Answer = boost::beast::http::response<boost::beast::http::string_body>;
  using Request = boost::beast::http::request<boost::beast::http::string_body>;
  using Status = boost::beast::http::status;
  using Make = absl::AnyInvocable<Answer(const proxy::Inspection&)>;

  void on_read(boost::system::error_code error);
  void answer(const Request& request);
  // False: an answer that says so is under way.
  bool allows(const Request& request, boost::beast::http::verb verb);
  // Asks Control, then writes what `make` makes of it.
  void inspect(proxy::InspectParts parts, Make make);
  // Until whatever is under way must have come: then `late` is written. Answers its number.
  std::uint64_t wait(base::milliseconds limit, Answer late);
  std::uint64_t wait_for_proxy();
  void leave_with_client(std::uint64_t question);  // if it hangs up before the answer
  void give_up();  // the command under way, if it waits for an end of its own
  bool take_turn(std::uint64_t question);  // false: too late for it
  Answer metrics(const proxy::Inspection& inspection, bool open);
  Answer readiness(const proxy::Inspection& inspection);
  Answer text(Status status, std::string_view type, std::string_view body);
  Answer plain(Status status, std::string_view body);
  void write(Answer answer);
  void write_asset(const Request& request, const Asset& asset);

  // http_api.cc: what begins with /api/.
  void api(const Request& request, std::string_view path, std::string_view query);
  std::optional<Access> enter(const Request& request);  // nullopt: refused
  void table(const Table& table, std::string_view query);
  void detail();
  void command(const Request& request, Access access);
  void run(const Statement& statement, proxy::ConsoleLogin by);
  void watch(const Request& request);
  Answer json(Status status, std::string_view body);
  Answer problem(Status status, std::string_view code, std::string_view message);
  Answer problem(const protocol::Error& error);

  HttpCore& core_;
  boost::beast::tcp_stream stream_;
  const std::string peer_;  // its address and port, for the log
  boost::asio::steady_timer timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::optional<Answer> answer_;
  unsigned version_ = 11;
  bool idle_ = true;     // waits for a request
  bool served_ = false;  // it has had an answer
  bool keep_alive_ = false;
  bool head_only_ = false;
  std::shared_ptr<std::atomic<bool>> given_up_;  // read on other threads
  std::uint64_t question_ = 0;  // of wait(): a late answer to an older one is dropped
};

}  // namespace admin
