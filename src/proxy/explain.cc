#include "proxy/explain.h"

#include <cstdint>

#include "absl/strings/str_join.h"
#include "config/words.h"
#include "protocol/lsn.h"

namespace proxy {
namespace {

std::string host_text(const cluster::Host& host, const route::Router::Needs& needs, bool allowed) {
  std::string text = "host " + host.name + ": ";
  text += cluster::role_name(host.role);
  if (host.role == cluster::Role::kReplica && host.lag_ms >= 0) {
    text += ", lag " + std::to_string(host.lag_ms) + " ms, " + std::to_string(host.lag_bytes) +
            " bytes";
  }
  if (host.lsn != 0) text += ", at " + protocol::format_lsn(host.lsn);
  if (!host.reads) return text + (host.why.empty() ? "" : ": " + host.why);
  if (!allowed) return text + ": kept out by a rule";
  if (!needs.known) return text + ": not known to be fresh enough yet";
  if (host.lsn < needs.at_least) {
    return text + ": has not replayed " + protocol::format_lsn(needs.at_least);
  }
  return text + ": fit";
}

}  // namespace

std::string_view target_word(route::Target target) {
  switch (target) {
    case route::Target::kPrimary:
      return "primary";
    case route::Target::kReplica:
      return "replica";
    case route::Target::kNoPrimary:
      return "waits for a primary";
    case route::Target::kNoReplica:
      return "error: no replica is fit";
    case route::Target::kAwait:
      return "waits for a replica";
  }
  return "";
}

std::vector<std::string> explain(const ExplainedRoute& of) {
  const bool routed = of.decision.host >= 0;
  std::vector<std::string> lines = {
      "route: " + std::string(target_word(of.decision.target)),
      "host: " +
          (routed ? of.snapshot.hosts[static_cast<std::size_t>(of.decision.host)].name : "none"),
      "reason: " + route::to_text(of.decision, of.config), "statement: " + of.analysis.why};
  if (!of.analysis.relations.empty())
    lines.push_back("tables: " + absl::StrJoin(of.analysis.relations, ", "));
  if (!of.analysis.functions.empty())
    lines.push_back("functions: " + absl::StrJoin(of.analysis.functions, ", "));
  lines.push_back("consistency: " + std::string(config::word(of.session.consistency)));
  const auto needs = route::Router::needs_of(of.session, of.snapshot);
  if (needs.at_least != 0) lines.push_back("needs: " + protocol::format_lsn(needs.at_least));
  if (of.analysis.catalog == 0) lines.emplace_back("catalog: not known");
  if ((of.analysis.residue & (sql::kOpaque | sql::kUnreadable)) != 0)
    lines.emplace_back("session: may be changed, is asked afterwards");
  const std::uint64_t allowed = route::allowed_hosts(of.session.rules, of.snapshot);
  for (std::size_t i = 0; i < of.snapshot.hosts.size(); ++i) {
    lines.push_back(host_text(of.snapshot.hosts[i], needs, (allowed >> i & 1) != 0));
  }
  return lines;
}

}  // namespace proxy
