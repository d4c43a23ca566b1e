// The API of docs/api.md: /api/v1/.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/beast/http/write.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "admin/http_connection.h"
#include "admin/sample.h"
#include "admin/statement.h"
#include "admin/text.h"

namespace admin {

namespace http = boost::beast::http;

namespace {

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

http::status status_of(std::string_view sqlstate) {
  namespace code = protocol::sqlstate;
  using http::status;
  if (sqlstate == code::kInsufficientPrivilege) return status::forbidden;
  if (sqlstate == code::kUndefinedObject || sqlstate == code::kInvalidCatalogName) {
    return status::not_found;
  }
  if (sqlstate == code::kFeatureNotSupported) return status::not_implemented;
  if (sqlstate == code::kInternalError) return status::internal_server_error;
  if (sqlstate.starts_with("22") || sqlstate.starts_with("42")) return status::bad_request;
  return status::conflict;
}

// A selection, or what is wrong with the query.
struct Asked {
  Selection selection;
  std::string wrong;
};

Asked read_query(const Table& table, std::string_view query, std::size_t rows_max) {
  Asked asked;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::string_view key = pair.substr(0, pair.find('='));
    const std::string_view value =
        key.size() < pair.size() ? pair.substr(key.size() + 1) : std::string_view();
    if (key == "limit") {
      const auto limit = parse_number<std::size_t>(value);
      if (!limit || *limit > rows_max) {
        asked.wrong = concat("limit is a number from 0 to ", rows_max);
      }
      asked.selection.limit = limit.value_or(0);
    } else if (key == "order_by" && has_column(table, value)) {
      asked.selection.order_by = value;
    } else if (key == "descending" && (value == "true" || value == "false")) {
      asked.selection.descending = value == "true";
    } else {
      asked.wrong = "limit=n, order_by=column, descending=true or false may follow the ?";
    }
  }
  return asked;
}

// The text of {"command": "..."}; nullopt when it is anything else.
std::optional<std::string> command_of(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.contains("command")) return std::nullopt;
  const auto& command = json["command"];
  if (!command.is_string()) return std::nullopt;
  return command.get<std::string>();
}

std::string done_json(const Statement& statement, const Result& result) {
  std::string out = "{\"command\":";
  append_json(out, statement.tag);
  out += ",\"done\":true,\"notices\":[";
  for (const protocol::Error& notice : result.notices) {
    if (&notice != result.notices.data()) out += ',';
    append_json(out, notice.message);
  }
  return out + "]}";
}

constexpr std::string_view kRefusedHint =
    "send it as Authorization: Bearer; admin.token and admin.view_token say which";

}  // namespace

HttpConnection::Answer HttpConnection::json(Status status, std::string_view body) {
  return text(status, "application/json", body);
}

HttpConnection::Answer HttpConnection::problem(Status status, std::string_view code,
                                               std::string_view message) {
  std::string body = "{\"error\":{\"code\":";
  append_json(body, code);
  body += ",\"message\":";
  append_json(body, message);
  return json(status, body + "}}\n");
}

HttpConnection::Answer HttpConnection::problem(const protocol::Error& error) {
  std::string body = "{\"error\":{\"code\":\"command\",\"sqlstate\":";
  append_json(body, error.code);
  body += ",\"message\":";
  append_json(body, error.message);
  if (!error.detail.empty()) append_json(body += ",\"detail\":", error.detail);
  if (!error.hint.empty()) append_json(body += ",\"hint\":", error.hint);
  return json(status_of(error.code), body + "}}\n");
}

std::optional<Access> HttpConnection::enter(const Request& request) {
  const config::ConfigPtr config = core_.control.config();
  const Access access = access_of(config->admin, view(request[http::field::authorization]),
                                  view(request[http::field::host]));
  const auto refuse = [&](Status status, std::string_view code, std::string_view message) {
    Answer answer = problem(status, code, message);
    if (status == Status::unauthorized) answer.set(http::field::www_authenticate, "Bearer");
    write(std::move(answer));
    return std::nullopt;
  };
  switch (access) {
    case Access::kLook:
    case Access::kCommand:
      return access;
    case Access::kNobody:
      return refuse(Status::unauthorized, "no_token", concat("a token is needed: ", kRefusedHint));
    case Access::kWrong:
      spdlog::warn("http {}: a wrong token was refused", peer_);
      return refuse(Status::unauthorized, "wrong_token", concat("a wrong token: ", kRefusedHint));
    case Access::kNameNeeds:
      return refuse(Status::misdirected_request, "name",
                    "without a token ask for an address or localhost, not for a name");
    case Access::kClosed:
      break;
  }
  return refuse(Status::forbidden, "closed",
                "the API is closed: the configuration has neither admin.token nor "
                "admin.view_token, nor admin.view_without_token");
}

void HttpConnection::api(const Request& request, std::string_view path, std::string_view query) {
  const auto access = enter(request);
  if (!access) return;
  const auto tell = [&](proxy::InspectParts parts, auto make) {
    inspect(parts, [this, make](const proxy::Inspection& inspection) {
      return json(Status::ok, core_.tell(inspection, make));
    });
  };
  const bool known_prefix = take_prefix(path, "/api/v1/");
  if (known_prefix && path == "commands") {
    if (allows(request, http::verb::post)) command(request, *access);
    return;
  }
  std::string_view name = path;
  const Table* found = take_prefix(name, "tables/") ? find_table(name) : nullptr;
  const bool known = known_prefix && (found != nullptr || path == "tables" || path == "access" ||
                                      path == "overview" || path == "detail" || path == "history" ||
                                      path == "events");
  if (!known) return write(problem(Status::not_found, "not_found", "there is no such thing"));
  if (!allows(request, http::verb::get)) return;
  if (found != nullptr) return table(*found, query);
  if (path == "tables") return write(json(Status::ok, table_list_json()));
  if (path == "access") {
    return write(json(Status::ok, *access == Access::kCommand ? "{\"may_command\":true}"
                                                              : "{\"may_command\":false}"));
  }
  if (path == "history") return write(json(Status::ok, core_.engine->engine()->history()));
  if (path == "events") return watch(request);
  if (path == "overview") {
    return tell(kOverviewNeeds, [this](const Source& source) {
      return overview_json(source, core_.control.draining());
    });
  }
  detail();
}

void HttpConnection::detail() {
  const std::uint64_t question = wait_for_proxy();
  core_.inspect({}, [weak = weak_from_this(), question](const proxy::Inspection& first) {
    const auto asking = weak.lock();
    if (asking == nullptr) return;
    const proxy::InspectParts parts = detail_needs(first.client_count);
    asking->core_.inspect(parts, [weak, question, parts](const proxy::Inspection& inspection) {
      const auto self = weak.lock();
      if (self == nullptr || !self->take_turn(question)) return;
      self->write(self->json(Status::ok, self->core_.tell(inspection, [&](const Source& source) {
        return detail_json(source, parts);
      })));
    });
  });
}

void HttpConnection::table(const Table& table, std::string_view query) {
  const Asked asked = read_query(table, query, core_.limits.rows);
  if (!asked.wrong.empty()) return write(problem(Status::bad_request, "query", asked.wrong));
  // Of static storage: the name of the column as the table has it.
  Selection selection = asked.selection;
  for (const ColumnDef& column : table.columns) {
    if (column.name == selection.order_by) selection.order_by = column.name;
  }
  inspect(table.needs, [this, &table, selection](const proxy::Inspection& inspection) {
    return json(Status::ok, core_.tell(inspection, [&](const Source& source) {
      return table_json(table, source, selection);
    }));
  });
}

void HttpConnection::command(const Request& request, Access access) {
  // Only scripts send this type: what a page of another origin can send unasked, it is not.
  if (!equal_any_case(view(request[http::field::content_type]).substr(0, 16), "application/json")) {
    return write(problem(Status::unsupported_media_type, "type", "expected application/json"));
  }
  const auto text = command_of(request.body());
  const auto pieces = text ? split(*text) : std::vector<std::string_view>();
  if (pieces.size() != 1) {
    return write(problem(Status::bad_request, "body", "expected {\"command\": \"one command\"}"));
  }
  const Statement statement = parse(pieces.front());
  if (statement.action == Action::kInvalid) return write(problem(statement.error));
  if (!statement.command()) {
    return write(problem(Status::bad_request, "body",
                         "expected a command; tables are read from /api/v1/tables"));
  }
  const std::string who = concat("http ", peer_);
  if (access != Access::kCommand) {
    protocol::Error error = core_.engine->engine()->deny(statement, who);
    error.hint = "admin.token is needed.";
    return write(problem(error));
  }
  run(statement, {.user = "admin.token", .who = concat(who, " admin.token"), .may_command = true});
}

void HttpConnection::run(const Statement& statement, proxy::ConsoleLogin by) {
  std::string under_way = "{\"command\":";
  append_json(under_way, statement.tag);
  const std::uint64_t question =
      wait(core_.limits.command, json(Status::accepted, under_way + ",\"done\":false}"));
  leave_with_client(question);
  given_up_ = std::make_shared<std::atomic<bool>>(false);
  core_.engine->engine()->command(
      statement, {.by = std::move(by), .given_up = [flag = given_up_] { return flag->load(); }},
      [core = core_.weak_from_this(), alive = weak_from_this(), question,
       statement](Result result) mutable {
        const auto running = core.lock();
        if (running == nullptr) return;
        boost::asio::post(running->io, [alive, question, statement = std::move(statement),
                                        result = std::move(result)] {
          const auto self = alive.lock();
          if (self == nullptr || !self->take_turn(question)) return;
          self->write(result.error ? self->problem(*result.error)
                                   : self->json(Status::ok, done_json(statement, result)));
        });
      });
}

void HttpConnection::watch(const Request& request) {
  if (core_.watchers.size() >= core_.limits.watchers || core_.retired) {
    Answer full = problem(Status::service_unavailable, "watchers", "too many watch already");
    full.set(http::field::retry_after, "5");
    return write(std::move(full));
  }
  keep_alive_ = false;
  Answer head = text(Status::ok, "text/event-stream", "");
  if (request.method() == http::verb::head) return write(std::move(head));
  head.erase(http::field::content_length);  // until the connection ends
  std::ostringstream out;
  out << head;
  core_.watchers.add(stream_.release_socket(), std::move(out).str());
}

}  // namespace admin
