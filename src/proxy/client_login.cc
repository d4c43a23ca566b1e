// Client: from the first byte to the first ReadyForQuery, but for passwords (client_auth.cc).
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>

#include "net/tls.h"
#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::uint8_t kTlsClientHello = 0x16;  // the first byte of a TLS record: direct TLS
constexpr std::size_t kMaxWelcomes = 1000;      // kept by (database, user)
constexpr std::uint32_t kConsoleReserve = 3;    // clients of the console beyond limits.clients

}  // namespace

std::size_t Client::on_startup_bytes(protocol::Bytes in) {
  const auto& limits = worker_.config().limits;
  if (state_ == State::kPassword) {
    protocol::Frame frame;
    const auto status = protocol::read_frame(in, limits.startup_bytes, frame);
    if (status == protocol::HeaderStatus::kNeedMore) return 0;
    if (status == protocol::HeaderStatus::kBad || frame.type != protocol::frontend::kPassword) {
      fail({.severity = protocol::Severity::kFatal,
            .code = protocol::sqlstate::kProtocolViolation,
            .message = "expected password response"});
      return in.size();
    }
    on_password(frame.body);
    return frame.raw.size();
  }
  auto result = protocol::read_startup(in, limits.startup_bytes);
  switch (result.status) {
    case protocol::StartupResult::Status::kNeedMore:
      return 0;
    case protocol::StartupResult::Status::kError:
      fail(result.error);
      return in.size();
    case protocol::StartupResult::Status::kPacket:
      break;
  }
  const bool last = result.total == in.size();
  if (std::holds_alternative<protocol::SslRequest>(result.packet)) {
    on_ssl_request(last);
  } else if (std::holds_alternative<protocol::GssRequest>(result.packet)) {
    if (login_->gss_refused || !last) {
      close("more bytes behind a GSSENCRequest");
    } else {
      login_->gss_refused = true;
      made().push_back('N');
      push();
    }
  } else if (const auto* request = std::get_if<protocol::CancelRequest>(&result.packet)) {
    if (worker_.take_cancel(*request, *this)) {
      set_state(State::kClosing);  // its end says that the request has arrived
    } else {
      close("cancel request");
    }
  } else {
    on_startup(std::get<protocol::StartupMessage>(result.packet));
  }
  return result.total;
}

// Whatever follows an SSLRequest in plain text was not meant to be plain text: CVE-2021-23214.
void Client::on_ssl_request(bool last) {
  if (!last || login_->tls_done || login_->ssl_refused) return close("bytes behind an SSLRequest");
  const auto* tls = worker_.topology().client_tls.get();
  if (tls == nullptr || peer.is_unix()) {
    login_->ssl_refused = true;
    made().push_back('N');
    return push();
  }
  made().push_back('S');
  push();
  if (is_open()) start_tls();
}

void Client::start_tls() {
  SSL* ssl = worker_.topology().client_tls->new_server_side();
  if (ssl == nullptr) return close("TLS could not be set up");
  stream_.start_tls(ssl);
  set_state(State::kTlsHandshake);
}

// A first byte of a TLS record is looked at, not taken: OpenSSL must read it.
bool Client::begins_with_tls() {
  if (login_->tls_done || login_->ssl_refused || worker_.topology().client_tls == nullptr ||
      peer.is_unix() || !in_.empty()) {
    return false;
  }
  std::uint8_t first = 0;
  return recv(stream_.fd(), &first, 1, MSG_PEEK) == 1 && first == kTlsClientHello;
}

void Client::continue_handshake() {
  const net::Io io = stream_.handshake();
  if (io.status == net::IoStatus::kBlocked) {
    if (stream_.hung_up() && !stream_.readable()) return close("client left during TLS");
    return ask_for_write();
  }
  if (io.status != net::IoStatus::kOk) {
    worker_.shared().handshakes_failed++;
    spdlog::warn("client {} {}: TLS handshake failed: {}", id, peer.text(), stream_.error());
    return close("TLS handshake failed");
  }
  login_->tls_done = true;
  set_state(State::kStartup);
  if (login_->direct_tls) {
    if (!net::tls_is_postgresql(stream_.ssl())) {
      return close("direct TLS without ALPN");  // PostgreSQL says so in its log only
    }
  }
  pump();
}

void Client::on_startup(const protocol::StartupMessage& message) {
  login_->startup = message;
  user_ = message.parameter("user");
  database_ = message.parameter("database");
  if (database_.empty()) database_ = user_;
  version32_ = message.spoken() == protocol::kVersion32;
  const auto& config = worker_.config();
  if (message.needs_negotiation()) {
    protocol::write_negotiate_protocol_version(made(), message.spoken(), message.protocol_options);
  }
  if (!take_replication(message)) return;
  // An operator must get in just then.
  const std::uint32_t reserved = asks_for_console() ? kConsoleReserve : 0;
  if (worker_.shared().clients.load() > config.limits.clients + reserved) {
    worker_.shared().clients_refused++;
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kTooManyConnections,
                 .message = "sorry, too many clients already"});
  }
  const auto mode = config.client_tls.mode;
  if (mode != config::SslMode::kDisable && mode != config::SslMode::kAllow &&
      mode != config::SslMode::kPrefer && !stream_.is_tls() && !peer.is_unix()) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kInvalidAuthorization,
                 .message = "connection requires a valid client certificate or SSL",
                 .hint = "Connect with sslmode=require."});
  }
  if (!take_parameters(message)) return;
  find_secret();
}

// Start-up parameters become the session's base settings. What a value means is the server's
// to say: it is asked before the first ReadyForQuery.
bool Client::take_parameters(const protocol::StartupMessage& message) {
  std::string bad_value;  // the name of a setting
  const auto set = [&](std::string_view given, std::string_view value) {
    std::string name(given);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    if (name == "application_name") application_name_ = value;
    base_.set(name, session::quote_value(value));
    if (!own_.set(name, value)) bad_value = name;
  };
  for (const auto& [name, value] : message.parameters) {
    if (name == "user" || name == "database" || name == "replication") continue;
    if (name != "options") {
      set(name, value);
      continue;
    }
    const auto options = protocol::parse_options(value);
    if (!options) {
      fail({.severity = protocol::Severity::kFatal,
            .code = protocol::sqlstate::kSyntaxError,
            .message = "invalid command-line arguments for server process",
            .hint = "The start-up parameter \"options\" takes \"-c name=value\"."});
      return false;
    }
    for (const auto& [option, option_value] : *options) set(option, option_value);
  }
  if (replicates()) base_.clear();  // its server gets them as they are
  settings_ = base_;
  if (!bad_value.empty()) {
    auto error = bad_own_setting(bad_value);
    error.severity = protocol::Severity::kFatal;
    fail(error);
  }
  return bad_value.empty();
}

void Client::fail_unknown_database() {
  fail({.severity = protocol::Severity::kFatal,
        .code = protocol::sqlstate::kInvalidCatalogName,
        .message = "database \"" + database_ + "\" does not exist"});
}

bool Client::asks_for_console() const { return database_ == "weir" || database_ == "pgbouncer"; }

void Client::log_in() {
  if (stream_.is_tls()) worker_.shared().logins_tls++;
  if (worker_.config().logging.connections) {
    log_of(database_config(), spdlog::level::info, "{}: logged in{}{}", who(),
           stream_.is_tls() ? " " : "",
           stream_.is_tls() ? net::tls_description(stream_.ssl()) : "");
  }
  if (asks_for_console()) return enter_console();
  const auto* database = replicates() ? replicated_database() : database_config();
  if (database == nullptr) return fail_unknown_database();
  if (worker_.is_disabled(database_)) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kCannotConnectNow,
                 .message = "database \"" + database_ + "\" is disabled"});
  }
  const auto* user = config::find_user(worker_.config(), user_);
  auto& counts = worker_.shared().client_counts;
  const bool in_database = counts.enter("database " + database_, database->max_client_connections);
  const bool in_user =
      in_database &&
      counts.enter("user " + user_, user != nullptr ? user->max_client_connections : 0);
  if (!in_user) {
    if (in_database) counts.leave("database " + database_);
    worker_.shared().clients_refused++;
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kTooManyConnections,
                 .message = in_database
                                ? "too many connections for role \"" + user_ + "\""
                                : "too many connections for database \"" + database_ + "\""});
  }
  counted_ = true;
  use_pools(replicates() ? replication_pools(*database)
                         : worker_.pool_set(*database, database_, user_));
  pools_->stats.client_login_count++;
  as_of_ =
      pools_->defaults().changed();  // replicas that have not replayed it begin with older ones
  if (const auto* known = known_welcome()) return send_welcome(*known);
  set_state(State::kWelcome);
  request_since_ = worker_.loop().now();
  gathered_ = {};
  route_request();
}

// What ParameterStatus says depends on all start-up parameters but the application's name, which
// is echoed.
std::string Client::welcome_key() const {
  std::string key;
  for (const auto& [name, value] : base_.entries()) {
    if (name == "application_name") continue;
    key.append(name).append(1, '\0').append(value).append(1, '\0');
  }
  return key;
}

const ServerParameters* Client::known_welcome() const {
  if (const auto version = pools_->defaults().version(); pools_->welcomes_of != version) {
    pools_->welcomes.clear();
    pools_->welcomes_of = version;
  }
  const auto known = pools_->welcomes.find(welcome_key());
  return known == pools_->welcomes.end() ? nullptr : &known->second;
}

void Client::on_settings_applied() {
  if (state_ != State::kWelcome) return;
  if (replicates()) return begin_replication();
  if (pools_->welcomes.size() >= kMaxWelcomes) pools_->welcomes.clear();
  if (!server->opened_early && server->defaults_of == pools_->welcomes_of) {
    pools_->welcomes[welcome_key()] = server->parameters;
  }
  send_welcome(server->parameters);
}

void Client::send_welcome(const ServerParameters& parameters) {
  auto& out = made();
  for (const auto& [name, value] : parameters) {
    if (name == "application_name") {
      protocol::write_parameter_status(out, name, clean_application_name(application_name_));
    } else if (name == "in_hot_standby") {
      // The session may write, wherever this server is: libpq's target_session_attrs asks.
      protocol::write_parameter_status(out, name, "off");
    } else {
      protocol::write_parameter_status(out, name, value);
    }
  }
  // 3.2 allows longer keys; 3.0 has four bytes.
  cancel_key = random_bytes(version32_ ? 32 : 4);
  protocol::write_backend_key_data(out, worker_.cancel_pid(*this), protocol::as_bytes(cancel_key));
  protocol::write_ready_for_query(out, 'I');
  login_.reset();
  reruns_ = 0;
  set_state(State::kIdle);
  push();
  if (!in_.empty()) worker_.run_soon(*this);
}

// PostgreSQL keeps printable ASCII and 63 bytes (NAMEDATALEN - 1).
std::string Client::clean_application_name(std::string_view name) {
  std::string clean(name.substr(0, 63));
  std::ranges::replace_if(clean, [](char c) { return c < 32 || c > 126; }, '?');
  return clean;
}

void Client::enter_console() {
  const auto* user = config::find_user(worker_.config(), user_);
  const bool is_peer = !login_->peer.empty();
  const bool may_look = is_peer || (user != nullptr && (user->admin || user->stats));
  if (!may_look || !worker_.shared().console) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kInsufficientPrivilege,
                 .message = "user \"" + user_ + "\" may not use the admin console",
                 .hint = "Set admin = true or stats = true for the user in the configuration."});
  }
  console_ = worker_.shared().console(
      {.user = user_,
       .who = is_peer ? who() + " (" + login_->peer + " of this machine)" : who(),
       .may_command = is_peer || user->admin});
  worker_.shared().consoles.fetch_add(1);
  auto& out = made();
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"server_version", kConsoleServerVersion},
           {"server_encoding", "UTF8"},
           {"client_encoding", "UTF8"},
           {"DateStyle", "ISO, MDY"},
           {"TimeZone", "UTC"},
           {"integer_datetimes", "on"},
           {"standard_conforming_strings", "on"}}) {
    protocol::write_parameter_status(out, name, value);
  }
  cancel_key = random_bytes(version32_ ? 32 : 4);
  protocol::write_backend_key_data(out, worker_.cancel_pid(*this), protocol::as_bytes(cancel_key));
  protocol::write_ready_for_query(out, 'I');
  login_.reset();
  set_state(State::kConsole);
  push();
  if (!in_.empty()) worker_.run_soon(*this);
}

std::size_t Client::on_console_bytes(protocol::Bytes in) {
  std::size_t used = 0;
  while (is_open() && !console_busy_) {
    protocol::Frame frame;
    const auto status = protocol::read_frame(in.subspan(used), 1u << 20, frame);
    if (status == protocol::HeaderStatus::kNeedMore) break;
    if (status == protocol::HeaderStatus::kBad || !protocol::is_frontend_type(frame.type)) {
      fail({.severity = protocol::Severity::kFatal,
            .code = protocol::sqlstate::kProtocolViolation,
            .message = "invalid message to the console"});
      break;
    }
    used += frame.raw.size();
    if (frame.type == protocol::frontend::kTerminate) {
      close("client closed the connection");
      break;
    }
    console_busy_ = true;
    Worker* worker = &worker_;
    console_->on_message(
        frame.type, frame.body,
        [worker, client_id = id, alive = std::weak_ptr<bool>(worker_.alive())](
            protocol::Buffer bytes, bool close_it) mutable {
          const auto guard = alive.lock();
          if (!guard) return;
          worker->loop().post([worker, client_id, bytes = std::move(bytes), close_it] {
            if (Client* client = worker->find_client(client_id)) {
              client->on_console_reply(bytes.view(), close_it);
            }
          });
        });
  }
  return used;
}

void Client::on_console_reply(protocol::Bytes bytes, bool close_it) {
  console_busy_ = false;
  made().append(bytes);
  if (close_it) set_state(State::kClosing);
  push();
  if (close_it && is_open() && out_.empty()) return close("console closed");
  resume();
}

}  // namespace proxy
