// Client: what the configuration's rules say of its requests.
#include "proxy/client.h"
#include "proxy/worker.h"

namespace proxy {

// By the configuration, the cluster and the session's settings as they are now.
void Client::refresh_rules() {
  rules_of_ = worker_.config_version();
  const config::Config& config = worker_.config();
  rules_ = {};
  if (config.rules.empty()) return;
  const std::string* name = settings_.find("application_name");
  rules_ = route::SessionRules(config, pools_->cluster->config, user_, database_,
                               name != nullptr ? session::plain_value(*name) : std::string());
}

// Those of an analysis that outlived its rules (PREPARE, EXECUTE) mean nothing any more.
void Client::note_patterns(const sql::Analysis& analysis) {
  if (analysis.patterns == 0 || analysis.patterns_of != worker_.analyzer().patterns_id()) return;
  if (gathered_.patterns == 0) gathered_.patterns_of = analysis.patterns_of;
  gathered_.patterns |= analysis.patterns;
}

bool Client::has_rules() {
  if (rules_of_ != worker_.config_version()) refresh_rules();
  return !rules_.empty();
}

// Of the gathered request. Its own word, and the session's, count more than a rule's.
route::Terms Client::terms() {
  if (!has_rules()) return {};
  route::Terms found = rules_.terms(gathered_.patterns);
  if (gathered_.hints.level != sql::Level::kNone || own_.consistency) {
    found.consistency.reset();
    found.consistency_rule = route::kNoRule;
  }
  return found;
}

// Of a statement that is not gathered.
config::Consistency Client::level_by_rules(const sql::Analysis& statement) {
  const bool none = own_.consistency || statement.patterns == 0 || !has_rules() ||
                    statement.patterns_of != worker_.analyzer().patterns_id();
  if (none) return session_level();
  return rules_.terms(statement.patterns).consistency.value_or(pools_->consistency);
}

// A reload has replaced the rules that the request was matched against: it is looked at again.
bool Client::gather_anew_after_reload() {
  if (gathered_.patterns == 0 || gathered_.patterns_of == worker_.analyzer().patterns_id()) {
    return false;
  }
  gathered_ = {};
  set_state(State::kIdle);
  worker_.run_soon(*this);
  return true;
}

}  // namespace proxy
