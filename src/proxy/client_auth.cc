// Client: proving who it is.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "net/tls.h"
#include "protocol/backend.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

// The same time for equal and unequal texts of one length.
bool equal_secretly(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

void Client::find_secret() {
  const auto& config = worker_.config();
  if (asks_for_console() && peer.is_unix() && !config.admin.peers.empty()) {
    const auto who = net::peer_user(stream_.fd());
    for (const std::string& name : {who.name, who.number}) {
      if (name.empty() || !std::ranges::count(config.admin.peers, name)) continue;
      login_->peer = name;
      set_state(State::kPassword);
      return auth_ok();
    }
  }
  if (const auto* user = config::find_user(config, user_)) {
    login_->user_known = true;
    login_->secret = user->password;
    return start_auth();
  }
  const auto* database = config::find_database(config, database_);
  const auto or_else = [](const std::string& own, const std::string& general) {
    return own.empty() ? general : own;
  };
  const std::string auth_user =
      database != nullptr ? or_else(database->auth_user, config.auth.auth_user) : "";
  if (auth_user.empty()) return start_auth();
  LookupRequest request;
  if (!worker_.fill_lookup(*database, database_, request)) {
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kCannotConnectNow,
                 .message = "no server is up to look up the user"});
  }
  request.user = auth_user;
  request.password = or_else(database->auth_password, config.auth.auth_password);
  request.query = or_else(database->auth_query, config.auth.auth_query);
  if (request.query.empty()) request.query = config::kDefaultAuthQuery;
  request.name = user_;
  set_state(State::kLookup);
  Worker* worker = &worker_;
  worker_.shared().lookup.find(
      std::move(request), [worker, client_id = id, alive = std::weak_ptr<bool>(worker_.alive())](
                              absl::StatusOr<AuthLookup::Found> found) {
        const auto guard = alive.lock();
        if (!guard) return;
        worker->loop().post([worker, client_id, found = std::move(found)] {
          if (Client* client = worker->find_client(client_id)) client->on_secret(found);
        });
      });
}

void Client::on_secret(absl::StatusOr<AuthLookup::Found> found) {
  if (state_ != State::kLookup) return;
  if (absl::IsNotFound(found.status())) return fail_unknown_database();
  if (!found.ok()) {
    log_of(database_config(), spdlog::level::err, "client {} {}: auth_query failed: {}", id,
           peer.text(), std::string(found.status().message()));
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kCannotConnectNow,
                 .message = "the user could not be looked up"});
  }
  if (const AuthLookup::Found& role = *found; role && !role->secret.empty()) {
    login_->user_known = true;
    login_->secret = role->secret;
    login_->may_log_in = role->may_log_in;
    worker_.shared().credentials.learn(user_, {.stored = login_->secret});
  }
  start_auth();
  if (!in_.empty()) worker_.run_soon(*this);
}

void Client::start_auth() {
  const auto method = worker_.config().auth.method;
  set_state(State::kPassword);
  if (method == config::AuthMethod::kTrust) {
    // Without a list of users there is nobody to tell from anybody.
    const auto& config = worker_.config();
    const bool listed = !config.users.empty() || !config.auth.auth_user.empty();
    if (!login_->user_known && listed) return auth_failed("no such user");
    return auth_ok();
  }
  if (method == config::AuthMethod::kPassword) {
    if (!stream_.is_tls() && !peer.is_unix()) {
      return fail({.severity = protocol::Severity::kFatal,
                   .code = protocol::sqlstate::kInvalidAuthorization,
                   .message = "cleartext passwords are accepted over TLS only",
                   .hint = "Connect with sslmode=require."});
    }
    protocol::write_authentication(made(), protocol::AuthRequest::kCleartext);
    return push();
  }
  // As PostgreSQL: md5 asks for SCRAM when a SCRAM verifier is what is stored.
  if (method == config::AuthMethod::kMd5 && !is_verifier(login_->secret)) {
    login_->md5_salt = random_bytes(4);
    protocol::write_authentication(made(), protocol::AuthRequest::kMd5,
                                   protocol::as_bytes(login_->md5_salt));
    return push();
  }
  std::vector<std::string_view> mechanisms;
  if (stream_.is_tls()) mechanisms.push_back(protocol::kScramPlus);
  mechanisms.push_back(protocol::kScram);
  protocol::write_sasl_mechanisms(made(), mechanisms);
  push();
}

void Client::on_password(protocol::Bytes body) {
  if (!login_->md5_salt.empty() || worker_.config().auth.method == config::AuthMethod::kPassword) {
    protocol::Reader reader(body);
    const std::string_view given = reader.cstring();
    if (!reader.done()) return auth_failed("malformed password message");
    return check_password(given);
  }
  on_sasl(body);
}

void Client::check_password(std::string_view given) {
  const std::string& secret = login_->secret;
  bool right = false;
  if (!login_->md5_salt.empty()) {
    right = equal_secretly(given, protocol::md5_answer(secret, user_, login_->md5_salt));
  } else if (is_verifier(secret)) {
    const auto verifier = protocol::parse_scram_verifier(secret);
    right = verifier && worker_.shared().scram_keys.matches(user_, given, *verifier);
  } else if (is_md5(secret)) {
    right = equal_secretly(protocol::md5_answer(secret, user_, "salt"),
                           protocol::md5_answer(given, user_, "salt"));
  } else {
    right = equal_secretly(given, secret);
  }
  if (!login_->user_known || secret.empty() || !right) return auth_failed("wrong password");
  if (login_->md5_salt.empty()) {
    worker_.shared().credentials.learn(user_, {.stored = std::string(given)});
  }
  auth_ok();
}

void Client::on_sasl(protocol::Bytes body) {
  if (!login_->scram) {
    protocol::Reader reader(body);
    const std::string_view mechanism = reader.cstring();
    const std::int32_t length = reader.i32();
    const auto rest = reader.rest();
    if (!reader.ok() || length < 0 || static_cast<std::size_t>(length) != rest.size()) {
      return auth_failed("malformed SASL message");
    }
    std::optional<protocol::ScramVerifier> verifier;
    const std::string& secret = login_->secret;
    if (is_verifier(secret)) {
      verifier = protocol::parse_scram_verifier(secret);
    } else if (is_plain_text(secret)) {
      verifier = worker_.shared().scram_verifier(user_, secret);
    }
    if (!login_->user_known || !verifier) {
      login_->user_known = false;
      verifier = protocol::mock_scram_verifier(user_, worker_.shared().scram_seed);
    }
    login_->scram.emplace(*verifier, random_nonce(),
                          stream_.is_tls() ? net::tls_server_end_point(stream_.ssl(), true) : "");
    const auto answer = login_->scram->first(mechanism, protocol::as_text(rest));
    if (!answer) return auth_failed("malformed SCRAM message");
    protocol::write_authentication(made(), protocol::AuthRequest::kSaslContinue,
                                   protocol::as_bytes(*answer));
    return push();
  }
  const auto answer = login_->scram->final(protocol::as_text(body));
  if (!answer || !login_->user_known) return auth_failed("wrong password");
  worker_.shared().credentials.learn(user_, {.stored = "", .keys = login_->scram->keys()});
  protocol::write_authentication(made(), protocol::AuthRequest::kSaslFinal,
                                 protocol::as_bytes(*answer));
  auth_ok();
}

void Client::auth_failed(std::string_view detail_for_log) {
  worker_.shared().logins_failed++;
  log_of(database_config(), spdlog::level::warn, "{}: log-in refused: {}", who(), detail_for_log);
  fail({.severity = protocol::Severity::kFatal,
        .code = protocol::sqlstate::kInvalidPassword,
        .message = "password authentication failed for user \"" + user_ + "\""});
}

void Client::auth_ok() {
  protocol::write_authentication(made(), protocol::AuthRequest::kOk);
  if (!login_->may_log_in) {
    worker_.shared().logins_failed++;
    log_of(database_config(), spdlog::level::warn, "{}: log-in refused: the role has NOLOGIN",
           who());
    return fail({.severity = protocol::Severity::kFatal,
                 .code = protocol::sqlstate::kInvalidAuthorization,
                 .message = "role \"" + user_ + "\" is not permitted to log in"});
  }
  log_in();
}

}  // namespace proxy
