// Server: connecting, TLS and the log-in.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "net/tls.h"
#include "protocol/frame.h"
#include "protocol/frontend.h"
#include "proxy/client.h"
#include "proxy/log.h"
#include "proxy/server.h"
#include "proxy/worker.h"

namespace proxy {
namespace {

constexpr std::size_t kMaxLoginMessage = 64u << 10;

}  // namespace

void Server::start() {
  opened_at = worker_.loop().now();
  const auto& target = pool_.target();
  const std::weak_ptr<bool> alive = worker_.alive();
  Worker* worker = &worker_;
  const std::uint64_t server_id = id;
  // The answer may come on the resolver's thread, and this server may be gone by then.
  worker_.shared().resolver.resolve(
      target.host, target.port,
      [alive, worker, server_id](absl::StatusOr<std::vector<net::Address>> found) {
        const auto guard = alive.lock();
        if (!guard) return;
        worker->loop().post([worker, server_id, found = std::move(found)] {
          Server* server = worker->find_server(server_id);
          if (server == nullptr || server->state_ != State::kResolving) return;
          if (!found.ok()) return server->login_failed(std::string(found.status().message()));
          server->addresses_ = *found;
          server->connect_next("no address");
        });
      });
}

void Server::connect_next(std::string error) {
  while (next_address_ < addresses_.size()) {
    address = addresses_[next_address_++];
    const int fd = net::start_connect(address, worker_.config().server_tcp);
    if (fd < 0) {
      error = std::strerror(errno);
      continue;
    }
    stream_ = net::Stream(fd);
    set_state(State::kConnecting);
    watch();
    ask_for_write();
    return;
  }
  login_failed("could not connect to " + pool_.target().name + ": " + error);
}

void Server::on_connected() {
  const std::string error = net::connect_error(stream_.fd());
  if (!error.empty()) {
    close_stream();
    connect_next(error);
    return;
  }
  const auto mode = pool_.set.cluster->config.tls.mode;
  const bool wants_tls =
      mode != config::SslMode::kDisable && (mode != config::SslMode::kAllow || tls_wanted_);
  if (!wants_tls || tls_refused_ || address.is_unix()) return send_startup();
  set_state(State::kTlsAnswer);
  protocol::write_ssl_request(out_);
  push();
}

void Server::start_tls() {
  SSL* ssl = pool_.set.cluster->tls()->new_client_side(pool_.target().host,
                                                       pool_.set.cluster->config.tls.mode);
  if (ssl == nullptr) return login_failed("TLS could not be set up for this host name");
  stream_.start_tls(ssl);
  set_state(State::kTlsHandshake);
}

void Server::continue_handshake() {
  const net::Io io = stream_.handshake();
  if (io.status == net::IoStatus::kOk) return send_startup();
  if (io.status == net::IoStatus::kBlocked) return ask_for_write();
  const std::string why = "TLS with the server failed: " + stream_.error();
  if (pool_.set.cluster->config.tls.mode != config::SslMode::kPrefer) return login_failed(why);
  tls_refused_ = true;  // prefer: once more, without
  next_address_ = 0;
  close_stream();
  connect_next(why);
}

void Server::send_startup() {
  set_state(State::kLogin);
  std::vector<std::pair<std::string, std::string>> startup = {
      {"user", pool_.set.server_user}, {"database", pool_.set.server_dbname}};
  startup.insert(startup.end(), pool_.set.startup.begin(), pool_.set.startup.end());
  protocol::write_startup(out_, protocol::kVersion30, startup);
  push();
}

std::size_t Server::on_login_bytes(protocol::Bytes in) {
  if (state_ == State::kTlsAnswer) {
    const char answer = static_cast<char>(in[0]);
    const auto mode = pool_.set.cluster->config.tls.mode;
    if (answer == 'S' && in.size() == 1) {
      start_tls();
    } else if (answer == 'N' && in.size() == 1 && mode == config::SslMode::kPrefer) {
      send_startup();
    } else if (answer == 'N' && in.size() == 1) {
      login_failed("server does not support TLS, but the configuration requires it");
    } else {
      // More bytes behind the answer would be an attempt to slip plain text into the TLS session.
      login_failed("server answered wrongly to a TLS request");
    }
    return 1;
  }
  std::size_t used = 0;
  while (state_ == State::kLogin) {
    protocol::Frame frame;
    const auto status = protocol::read_frame(in.subspan(used), kMaxLoginMessage, frame);
    if (status == protocol::HeaderStatus::kNeedMore) break;
    if (status == protocol::HeaderStatus::kBad || !on_login_frame(frame.type, frame.body)) {
      login_failed("server broke the protocol during the log-in");
      break;
    }
    used += frame.raw.size();
  }
  return used;
}

bool Server::on_login_frame(char type, protocol::Bytes body) {
  switch (type) {
    case protocol::backend::kAuthentication:
      return on_authentication(body);
    case protocol::backend::kParameterStatus: {
      const auto status = protocol::decode_parameter_status(body);
      if (!status || parameters.size() >= 100) return false;
      set_parameter(parameters, status->name, status->value);
      return true;
    }
    case protocol::backend::kBackendKeyData: {
      const auto key = protocol::decode_backend_key_data(body);
      if (!key) return false;
      backend_pid = key->pid;
      backend_key = protocol::as_text(key->key);
      return true;
    }
    case protocol::backend::kError: {
      const auto view = protocol::decode_error(body);
      if (!view) return false;
      login_failed(std::string(view->message),
                   protocol::Error{.severity = protocol::Severity::kFatal,
                                   .code = view->code,
                                   .message = std::string(view->message),
                                   .detail = std::string(view->detail),
                                   .hint = std::string(view->hint)});
      return true;
    }
    case protocol::backend::kReadyForQuery: {
      if (!logged_in_ || protocol::decode_ready_for_query(body) != 'I') return false;
      set_state(State::kReady);
      note_defaults();
      worker_.on_server_ready(*this);
      return true;
    }
    case protocol::backend::kNotice:
    case protocol::backend::kNegotiateProtocolVersion:
      return true;
    default:
      return false;
  }
}

// Before any session has set something.
void Server::note_defaults() {
  const auto told = std::ranges::find(parameters, "default_transaction_read_only",
                                      &ServerParameters::value_type::first);
  pool_.set.read_only_by_default = told != parameters.end() && told->second == "on";
}

Secret Server::secret() const {
  const auto& database = pool_.set.definition;
  if (!database.user.empty()) return {.stored = database.password};
  Secret known = worker_.shared().credentials.find(pool_.set.server_user);
  const auto* user = config::find_user(*pool_.set.config, pool_.set.server_user);
  // What a client has proven by its password itself says more than the hash that is configured.
  const bool proven = is_plain_text(known.stored);
  if (user != nullptr && !user->password.empty() && (is_plain_text(user->password) || !proven)) {
    known.stored = user->password;
  }
  return known;
}

bool Server::on_authentication(protocol::Bytes body) {
  const auto request = protocol::decode_authentication(body);
  if (!request) return false;
  const Secret known = secret();
  switch (request->request) {
    case protocol::AuthRequest::kOk:
      // Mutual: a server that did not prove that it knows the secret may be anyone.
      if (scram_) return false;
      logged_in_ = true;
      return true;
    case protocol::AuthRequest::kCleartext:
      if (!is_plain_text(known.stored)) {
        lacks_secret("server asks for a cleartext password, and only a hash of it is known");
        return true;
      }
      protocol::write_password(out_, known.stored);
      push();
      return true;
    case protocol::AuthRequest::kMd5:
      if (known.stored.empty() || is_verifier(known.stored) || request->rest.size() != 4) {
        lacks_secret("server asks for an md5 password, which is not known");
        return true;
      }
      protocol::write_password(out_, protocol::md5_answer(known.stored, pool_.set.server_user,
                                                          protocol::as_text(request->rest)));
      push();
      return true;
    case protocol::AuthRequest::kSasl:
      return answer_sasl(request->rest);
    case protocol::AuthRequest::kSaslContinue: {
      if (!scram_) return false;
      const auto answer = scram_->final(protocol::as_text(request->rest));
      if (!answer) return false;
      protocol::MessageWriter(out_, protocol::frontend::kPassword).text(*answer);
      push();
      return true;
    }
    case protocol::AuthRequest::kSaslFinal:
      if (!scram_ || !scram_->verify(protocol::as_text(request->rest))) return false;
      scram_.reset();
      return true;
    case protocol::AuthRequest::kKerberosV5:
    case protocol::AuthRequest::kGss:
    case protocol::AuthRequest::kGssContinue:
    case protocol::AuthRequest::kSspi:
      login_failed("server asks for Kerberos, GSSAPI or SSPI, which are not supported");
      return true;
  }
  return false;
}

bool Server::answer_sasl(protocol::Bytes mechanisms) {
  const auto names = protocol::sasl_mechanisms(mechanisms);
  const bool plus = std::ranges::find(names, protocol::kScramPlus) != names.end();
  const bool plain = std::ranges::find(names, protocol::kScram) != names.end();
  const std::string binding =
      stream_.is_tls() ? net::tls_server_end_point(stream_.ssl(), false) : "";
  const bool bind = plus && !binding.empty();
  if (!bind && !plain) {
    login_failed("server offers no SASL mechanism that is supported");
    return true;
  }
  const Secret known = secret();
  const std::string nonce = random_nonce();
  if (known.keys && (known.stored.empty() || is_verifier(known.stored))) {
    scram_.emplace(*known.keys, nonce);
  } else if (is_plain_text(known.stored)) {
    scram_.emplace(known.stored, nonce, [this](auto password, auto salt, auto iterations) {
      return worker_.shared().scram_keys.keys({.user = pool_.set.server_user,
                                               .password = password,
                                               .salt = salt,
                                               .iterations = iterations});
    });
  } else {
    lacks_secret("server asks for SCRAM, and neither a password nor keys of a log-in are known");
    return true;
  }
  const std::string first = scram_->first(bind ? binding : "", !binding.empty());
  {
    protocol::MessageWriter message(out_, protocol::frontend::kPassword);
    message.cstring(bind ? protocol::kScramPlus : protocol::kScram);
    message.i32(static_cast<std::int32_t>(first.size()));
    message.text(first);
  }
  push();
  return true;
}

// The host is well: this user alone cannot get in.
void Server::lacks_secret(std::string why) {
  const std::string& user = pool_.set.server_user;
  protocol::Error error{.severity = protocol::Severity::kFatal,
                        .code = protocol::sqlstate::kInvalidPassword,
                        .message = "the proxy cannot log in to the server as user \"" + user + "\"",
                        .detail = why,
                        .hint =
                            "Configure the password of the user, or the verifier that the "
                            "server has, and log in with SCRAM."};
  login_failed(std::move(why), std::move(error));
}

void Server::login_failed(std::string why, std::optional<protocol::Error> error) {
  if (state_ == State::kClosed) return;
  // What was refused is tried once the other way, as libpq does: sslmode=allow with TLS,
  // sslmode=prefer without.
  const auto mode = pool_.set.cluster->config.tls.mode;
  const bool refused = error && error->code.starts_with("28") && !address.is_unix();
  const bool with = refused && mode == config::SslMode::kAllow && !tls_wanted_;
  const bool without = refused && mode == config::SslMode::kPrefer && stream_.is_tls();
  if (with || without) {
    (with ? tls_wanted_ : tls_refused_) = true;
    next_address_ = 0;
    parameters.clear();
    scram_.reset();
    close_stream();
    return connect_next(why);
  }
  log_of(database_config(), spdlog::level::warn, "{}: log-in failed: {}", name_, why);
  worker_.shared().faults->add(
      Fault::Severity::kWarning, "login",
      pool_.set.cluster->config.name + "/" + pool_.target().name,
      pool_.set.server_user + " to " + pool_.set.server_dbname + ": " + why);
  worker_.on_server_failed(*this, why, error ? &*error : nullptr);
}

}  // namespace proxy
