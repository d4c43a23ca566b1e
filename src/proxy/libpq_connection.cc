#include "proxy/libpq_connection.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "net/address.h"
#include "net/loop.h"

namespace proxy {
namespace {

using config::SslMode;

const char* sslmode(SslMode mode) {
  switch (mode) {
    case SslMode::kDisable:
      return "disable";
    case SslMode::kAllow:
      return "allow";
    case SslMode::kPrefer:
      return "prefer";
    case SslMode::kRequire:
      return "require";
    case SslMode::kVerifyCa:
      return "verify-ca";
    case SslMode::kVerifyFull:
      return "verify-full";
  }
  return "verify-full";
}

// libpq's multi-line report, reduced to the last reason in it: the caller says which server.
std::string reason(const char* message) {
  std::string_view text(message);
  constexpr std::string_view kPreamble = " failed: ";  // of "connection to server at ... failed: "
  if (const auto at = text.rfind(kPreamble); at != std::string_view::npos) {
    text.remove_prefix(at + kPreamble.size());
  }
  constexpr std::size_t kLengthMax = 500;
  text = text.substr(0, text.find('\n')).substr(0, kLengthMax);
  return text.empty() ? "connection lost" : std::string(text);
}

PGconn* start_connection(const ServerLogin& login) {
  const std::string port = std::to_string(login.port);
  // A standby refuses all that is serializable, which may be the user's default.
  const std::string options =
      absl::StrCat("-c default_transaction_isolation=read\\ committed -c statement_timeout=",
                   (login.timeout + base::seconds(1)).count());
  const bool literal = !login.host.starts_with('/') && net::literal_address(login.host, login.port);
  // Empty values would be filled from the environment and the home directory; a path that cannot
  // exist is not.
  constexpr const char* kNoFile = "/dev/null/none";
  const auto or_none = [](const std::string& file) {
    return file.empty() ? kNoFile : file.c_str();
  };
  std::vector<const char*> keys, values;
  const auto add = [&](const char* key, const char* value) {
    keys.push_back(key);
    values.push_back(value);
  };
  add("host", login.host.c_str());
  if (literal) add("hostaddr", login.host.c_str());
  add("port", port.c_str());
  add("dbname", login.dbname.c_str());
  add("user", login.user.c_str());
  add("password", login.password.c_str());
  add("passfile", kNoFile);
  add("options", options.c_str());
  add("application_name", login.application_name.c_str());
  add("client_encoding", "UTF8");
  add("gssencmode", "disable");
  add("target_session_attrs", "any");
  add("sslmode", sslmode(login.tls.mode));
  add("sslrootcert", or_none(login.tls.ca_file));
  add("sslcert", or_none(login.tls.cert_file));
  add("sslkey", or_none(login.tls.key_file));
  keys.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keys.data(), values.data(), 0 /* dbname is just a name */);
}

}  // namespace

StopSignal::StopSignal() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { CHECK(fd_ >= 0); }
StopSignal::~StopSignal() { close(fd_); }

void StopSignal::raise() {
  raised_ = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(fd_, &one, sizeof one);
}

std::optional<std::string_view> Rows::value(int row, int column) const {
  if (PQgetisnull(result_.get(), row, column) != 0) return std::nullopt;
  return std::string_view(PQgetvalue(result_.get(), row, column),
                          static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
}

absl::StatusOr<LibpqConnection> LibpqConnection::open(const ServerLogin& login, base::Time deadline,
                                                      const StopSignal& stop) {
  LibpqConnection made(start_connection(login), stop);
  if (!made.connection_) return absl::UnavailableError("out of memory");
  // Notices would go to standard error.
  PQsetNoticeReceiver(made.connection_.get(), [](void*, const PGresult*) {}, nullptr);
  if (auto status = made.connect(deadline); !status.ok()) return status;
  return made;
}

absl::Status LibpqConnection::connect(base::Time deadline) {
  PGconn* connection = connection_.get();
  if (PQstatus(connection) == CONNECTION_BAD) return lost();
  // Before its first answer the connection counts as one that wants to write (libpq's manual).
  for (auto state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
       state = PQconnectPoll(connection)) {
    if (state == PGRES_POLLING_FAILED) return lost();
    const short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
    if (auto status = wait(events, deadline); !status.ok()) return status;
  }
  if (PQsetnonblocking(connection, 1) != 0) return lost();
  return absl::OkStatus();
}

absl::StatusOr<Rows> LibpqConnection::execute(const char* sql,
                                              std::span<const char* const> parameters,
                                              base::Time deadline) {
  return collect(PQsendQueryParams(connection_.get(), sql, static_cast<int>(parameters.size()),
                                   nullptr, parameters.data(), nullptr, nullptr, 0),
                 deadline);
}

absl::Status LibpqConnection::prepare(const char* name, const char* sql, base::Time deadline) {
  return collect(PQsendPrepare(connection_.get(), name, sql, 0, nullptr), deadline).status();
}

absl::StatusOr<Rows> LibpqConnection::execute_prepared(const char* name, base::Time deadline) {
  return collect(PQsendQueryPrepared(connection_.get(), name, 0, nullptr, nullptr, nullptr, 0),
                 deadline);
}

bool LibpqConnection::is_idle() const {
  return PQstatus(connection_.get()) == CONNECTION_OK &&
         PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

absl::Status LibpqConnection::wait(short events, base::Time deadline) const {
  while (true) {
    if (stop_->raised()) return absl::CancelledError("stopping");
    const auto left = deadline - net::read_clock();
    if (left <= base::Duration::zero()) return absl::DeadlineExceededError("no answer in time");
    std::array<pollfd, 2> files = {pollfd{PQsocket(connection_.get()), events, 0},
                                   pollfd{stop_->fd(), POLLIN, 0}};
    // Rounded up, and a minute at a time: poll counts milliseconds in an int.
    const auto ms = std::min<std::int64_t>(base::to_ms(left) + 1, 60'000);
    const int ready = poll(files.data(), files.size(), static_cast<int>(ms));
    if (ready < 0 && errno != EINTR) return absl::UnavailableError(strerror(errno));
    if (ready > 0 && files[0].revents != 0) return absl::OkStatus();
  }
}

absl::Status LibpqConnection::flush(base::Time deadline) {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left < 0) return lost();
    if (left == 0) return absl::OkStatus();
    if (auto status = wait(POLLIN | POLLOUT, deadline); !status.ok()) return status;
    // A server that sends while it does not read must be listened to first.
    if (PQconsumeInput(connection_.get()) == 0) return lost();
  }
}

absl::StatusOr<Rows> LibpqConnection::collect(int sent, base::Time deadline) {
  if (sent == 0) return lost();
  if (auto status = flush(deadline); !status.ok()) return status;
  std::optional<Rows> rows;
  absl::Status refused;
  // What the server said before it went says more than that it went.
  const auto gone = [&] {
    return refused.ok() ? lost() : absl::UnavailableError(refused.message());
  };
  while (true) {
    while (PQisBusy(connection_.get()) != 0) {
      if (auto status = wait(POLLIN, deadline); !status.ok()) return status;
      if (PQconsumeInput(connection_.get()) == 0) return gone();
    }
    PGresult* result = PQgetResult(connection_.get());
    if (result == nullptr) break;
    const ExecStatusType kind = PQresultStatus(result);
    rows.emplace(result);
    if (kind == PGRES_TUPLES_OK || kind == PGRES_COMMAND_OK) continue;
    const char* words = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    // COPY has no words, and would wait for its data to be taken.
    if (words == nullptr) return absl::UnavailableError("the statement is not a query");
    refused = absl::FailedPreconditionError(
        absl::StrCat(words, sqlstate == nullptr ? "" : absl::StrCat(" (", sqlstate, ")")));
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) return gone();
  if (!refused.ok()) return refused;
  if (!rows) return absl::UnavailableError("no answer to the statement");
  return *std::move(rows);
}

absl::Status LibpqConnection::lost() const {
  return absl::UnavailableError(reason(PQerrorMessage(connection_.get())));
}

}  // namespace proxy
