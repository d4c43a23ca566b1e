#include "admin/engine.h"

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
  control.reload([tag = std::move(tag), done = std::move(done)](absl::Status status,
                                                                std::string note) mutable {
    if (!status.ok()) {
      Result result = failure("F0000", "the configuration was not reloaded");  // config_file_error
      result.error->detail = std::string(status.message());
      result.error->hint = "The old configuration stays in effect.";
      return done(std::move(result));
    }
    Result result;
    result.tag = tag;
    if (!note.empty()) {
      result.notices.push_back(notice(concat("a restart is needed for: ", note)));
    }
    done(std::move(result));
  });
}

void order(proxy::Control& control, const Statement& statement, const proxy::ConsoleLogin& by,
           Done done) {
  control.order(
      statement.order, by,
      [tag = statement.tag, done = std::move(done)](absl::StatusOr<std::string> note) mutable {
        Result result = result_of(note.status(), tag, false);
        if (note.ok() && !note->empty()) result.notices.push_back(notice(*note));
        done(std::move(result));
      });
}

void run_command(proxy::Control& control, const Statement& statement, Done done) {
  const std::string& database = statement.argument;
  const auto answer = [&](const absl::Status& status) {
    done(result_of(status, statement.tag, statement.action != Action::kKillClient));
  };
  switch (statement.action) {
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
    case Action::kDisable:
      return answer(control.disable(database));
    case Action::kEnable:
      return answer(control.enable(database));
    case Action::kKill:
      return answer(control.kill(database));
    case Action::kKillClient: {
      const auto id = parse_number<std::uint64_t>(database);
      if (!id) {
        return done(failure(sqlstate::kInvalidParameterValue,
                            concat("invalid client id \"", database, "\""),
                            "SHOW CLIENTS has the ids."));
      }
      return answer(control.kill_client(*id));
    }
    case Action::kResetStatements:
      control.reset_statements();
      return answer(absl::OkStatus());
    case Action::kShutdownNow:
      control.shutdown(proxy::Control::Shutdown::kNow);
      return answer(absl::OkStatus());
    case Action::kShutdownDrain:
      control.shutdown(proxy::Control::Shutdown::kDrain);
      return answer(absl::OkStatus());
    case Action::kHostOrder:
    case Action::kNone:
    case Action::kInvalid:
    case Action::kQuery:
    case Action::kHelp:
    case Action::kSetting:
    case Action::kIgnored:
    case Action::kBegin:
    case Action::kCommit:
    case Action::kRollback:
    case Action::kDeallocate:
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
}

Averages Engine::averages() {
  const std::lock_guard lock(mutex_);
  return averages_;
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

void Engine::command(const Statement& statement, const proxy::ConsoleLogin& by,
                     absl::AnyInvocable<void(Result)> done) {
  with_control([&](proxy::Control& control) {
    if (statement.action == Action::kHostOrder) {
      return order(control, statement, by, std::move(done));
    }
    run_command(control, statement, std::move(done));
  });
}

}  // namespace admin
