#include "admin/engine.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "admin/text.h"

namespace admin {
namespace {

namespace sqlstate = protocol::sqlstate;
using Done = absl::AnyInvocable<void(Result)>;

std::string_view sqlstate_of(const absl::Status& status) {
  switch (status.code()) {  // those that Control uses; the rest is ours to be ashamed of
    case absl::StatusCode::kNotFound:
      return sqlstate::kUndefinedObject;
    case absl::StatusCode::kInvalidArgument:
      return sqlstate::kInvalidParameterValue;
    case absl::StatusCode::kFailedPrecondition:
      return sqlstate::kObjectNotInState;
    case absl::StatusCode::kPermissionDenied:
      return sqlstate::kInsufficientPrivilege;
    case absl::StatusCode::kUnimplemented:
      return sqlstate::kFeatureNotSupported;
    case absl::StatusCode::kUnavailable:
      return sqlstate::kCannotConnectNow;
    case absl::StatusCode::kCancelled:
      return sqlstate::kQueryCanceled;
    case absl::StatusCode::kResourceExhausted:
      return sqlstate::kOutOfMemory;
    default:
      return sqlstate::kInternalError;
  }
}

Result result_of(const absl::Status& status, std::string tag, bool names_database) {
  if (!status.ok()) {
    const bool no_database = names_database && absl::IsNotFound(status);
    return failure(no_database ? sqlstate::kInvalidCatalogName : sqlstate_of(status),
                   std::string(status.message()));
  }
  Result result;
  result.tag = std::move(tag);
  return result;
}

protocol::Error notice(std::string message) {
  protocol::Error n;
  n.severity = protocol::Severity::kNotice;
  n.code = "00000";
  n.message = std::move(message);
  return n;
}

void reload(proxy::Control& control, std::string tag, Done done) {
  control.reload([tag = std::move(tag),
                  done = std::move(done)](absl::StatusOr<proxy::Control::Loaded> loaded) mutable {
    if (!loaded.ok()) {
      Result result = failure("F0000", "the configuration was not reloaded");  // config_file_error
      result.error->detail = std::string(loaded.status().message());
      result.error->hint = "The old configuration stays in effect.";
      return done(std::move(result));
    }
    Result result;
    result.tag = tag;
    if (!loaded->needs_restart.empty()) {
      result.notices.push_back(notice(concat("a restart is needed for: ", loaded->needs_restart)));
    }
    if (!loaded->kept.empty()) {
      result.notices.push_back(notice(concat("stays as SET has it: ", loaded->kept)));
    }
    done(std::move(result));
  });
}

// Of what answers with what there is to say about it.
auto noting(std::string tag, Done done) {
  return [tag = std::move(tag),
          done = std::move(done)](const absl::StatusOr<std::string>& note) mutable {
    Result result = result_of(note.status(), tag, false);
    if (note.ok() && !note->empty()) result.notices.push_back(notice(*note));
    done(std::move(result));
  };
}

void set(proxy::Control& control, const Statement& statement, Done done) {
  if (!statement.error.message.empty()) {
    Result refused;
    refused.error = statement.error;
    return done(std::move(refused));
  }
  control.set(statement.change, [statement, done = std::move(done)](
                                    absl::StatusOr<proxy::Control::Loaded> loaded) mutable {
    Result result = result_of(loaded.status(), statement.tag, false);
    if (loaded.ok() && !statement.change.overrides.empty()) {
      result.notices.push_back(
          notice(concat("a restart loses this, a RELOAD does not: the configuration file does not "
                        "say it; RESET ",
                        statement.change.key, " takes it back")));
    }
    done(std::move(result));
  });
}

void kill_client(proxy::Control& control, const Statement& statement, Done done) {
  const auto id = parse_number<std::uint64_t>(statement.argument);
  if (!id) {
    return done(failure(sqlstate::kInvalidParameterValue,
                        concat("invalid client id \"", statement.argument, "\""),
                        "SHOW CLIENTS has the ids."));
  }
  control.inspect(
      [&control, id = *id, tag = statement.tag,
       done = std::move(done)](const proxy::Inspection& all) mutable {
        const auto& clients = all.clients;
        const bool known =
            std::ranges::find(clients, id, &proxy::ConnectionRow::id) != clients.end();
        done(result_of(known ? control.kill_client(id)
                             : absl::NotFoundError(concat("there is no client ", id)),
                       tag, false));
      },
      {.clients = true});
}

void run_command(proxy::Control& control, const Statement& statement, Engine::Asking asking,
                 Done done) {
  const std::string& database = statement.argument;
  const auto answer = [&](const absl::Status& status) {
    done(result_of(status, statement.tag, true));
  };
  switch (statement.action) {
    case Action::kSet:
      return set(control, statement, std::move(done));
    case Action::kReload:
      return reload(control, statement.tag, std::move(done));
    case Action::kPause:
      return control.pause(
          database, [tag = statement.tag, done = std::move(done)](absl::Status status) mutable {
            done(result_of(status, tag, true));
          });
    case Action::kResume:
      return answer(control.resume(database));
    case Action::kReconnect:
      return answer(control.reconnect(database));
    case Action::kWaitClose:
      return control.wait_close(
          database, std::move(asking.given_up),
          [tag = statement.tag, done = std::move(done)](absl::Status status) mutable {
            done(result_of(status, tag, true));
          });
    case Action::kDisable:
      return answer(control.disable(database));
    case Action::kEnable:
      return answer(control.enable(database));
    case Action::kKill:
      return answer(control.kill(database));
    case Action::kKillClient:
      return kill_client(control, statement, std::move(done));
    case Action::kResetStatements:
      control.reset_statements();
      return answer(absl::OkStatus());
    case Action::kHostOrder:
      return control.order(statement.order, std::move(asking.by),
                           noting(statement.tag, std::move(done)));
    case Action::kUpgrade:
      return control.upgrade(noting(statement.tag, std::move(done)));
    case Action::kShutdownNow:
      control.shutdown(proxy::Control::Shutdown::kNow);
      return answer(absl::OkStatus());
    case Action::kShutdownDrain:
      control.shutdown(proxy::Control::Shutdown::kDrain);
      return answer(absl::OkStatus());
    case Action::kNone:
    case Action::kInvalid:
    case Action::kQuery:
    case Action::kHelp:
    case Action::kSetting:
    case Action::kIgnored:
    case Action::kBegin:
    case Action::kCommit:
    case Action::kRollback:
    case Action::kSavepoint:
    case Action::kRollbackTo:
    case Action::kDeallocate:
    case Action::kDeclare:
    case Action::kFetch:
    case Action::kCloseCursor:
      break;
  }
  done(failure(sqlstate::kInternalError, "not a command"));
}

}  // namespace

std::shared_ptr<Engine> Engine::create(proxy::Control& control) {
  std::shared_ptr<Engine> engine(new Engine(control));
  engine->start();
  return engine;
}

void Engine::start() {
  // `this` outlives the thread's ticks: close() ends them.
  executor_ = std::make_unique<Executor>(Averages::kSpacing, [this] {
    with_control([this](proxy::Control& control) {
      control.inspect(
          [self = shared_from_this()](proxy::Inspection inspection) { self->observe(inspection); });
    });
  });
}

void Engine::close() {
  {
    const std::lock_guard lock(gate_);
    closed_ = true;
  }
  executor_->stop();
}

void Engine::with_control(absl::FunctionRef<void(proxy::Control&)> use) {
  const std::lock_guard lock(gate_);
  if (!closed_) use(control_);
}

void Engine::observe(const proxy::Inspection& inspection) {
  const std::lock_guard lock(mutex_);
  averages_.observe(inspection);
  history_.observe(inspection);
}

Averages Engine::averages() const {
  const std::lock_guard lock(mutex_);
  return averages_;
}

std::string Engine::history() const {
  const std::lock_guard lock(mutex_);
  return history_.json();
}

void Engine::describe(std::string sql, Style style, absl::AnyInvocable<void(Description)> done) {
  executor_->post([sql = std::move(sql), style, done = std::move(done)]() mutable {
    done(admin::describe(sql, style));
  });
}

void Engine::run(Query query, absl::AnyInvocable<void(Result)> done) {
  const proxy::InspectParts needs = needs_of(query.sql);
  with_control([&](proxy::Control& control) {
    control.inspect(
        [self = shared_from_this(), config = control.config(), query = std::move(query),
         done = std::move(done)](proxy::Inspection inspection) mutable {
          self->observe(inspection);
          self->executor_->post([averages = self->averages(), config = std::move(config),
                                 inspection = std::move(inspection), query = std::move(query),
                                 done = std::move(done)]() mutable {
            done(admin::run(query, {inspection, *config, averages}));
          });
        },
        needs);
  });
}

void Engine::command(const Statement& statement, Asking asking,
                     absl::AnyInvocable<void(Result)> done) {
  const auto began = std::chrono::steady_clock::now();
  with_control([&](proxy::Control& control) {
    // Called by Control: it is there, and the gate may be held by who has called it.
    const bool is_open = statement.action != Action::kSet || may_be_shown(statement.change);
    auto logged = [&control, began, is_open, done = std::move(done),
                   record = proxy::CommandRecord{.who = asking.by.who, .command = statement.shown}](
                      Result result) mutable {
      if (result.error) {
        record.sqlstate = std::string(result.error->code);
        if (is_open) record.error = result.error->message;  // it may quote the value
      }
      record.took_ms = base::to_ms(std::chrono::steady_clock::now() - began);
      control.log(record);
      done(std::move(result));
    };
    run_command(control, statement, std::move(asking), std::move(logged));
  });
}

protocol::Error Engine::deny(const Statement& statement, const std::string& who) {
  protocol::Error error =
      *failure(sqlstate::kInsufficientPrivilege, concat("permission denied for ", statement.tag),
               "The user needs admin = true.")
           .error;
  with_control([&](proxy::Control& control) {
    control.log({.who = who,
                 .command = statement.shown,
                 .sqlstate = std::string(error.code),
                 .error = error.message});
  });
  return error;
}

}  // namespace admin
