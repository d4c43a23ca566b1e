// One client: its log-in, its session, and the relay of its requests to servers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "net/connection.h"
#include "pool/pool.h"
#include "protocol/error.h"
#include "protocol/frame.h"
#include "protocol/scram.h"
#include "protocol/startup.h"
#include "proxy/control.h"
#include "proxy/gathered.h"
#include "proxy/pools.h"
#include "proxy/sent_statements.h"
#include "proxy/statement_kinds.h"
#include "proxy/statement_meter.h"
#include "route/router.h"
#include "session/exchange.h"
#include "session/loss.h"
#include "session/own_settings.h"
#include "session/pins.h"
#include "session/rerun.h"
#include "session/settings.h"
#include "session/statements.h"
#include "session/transaction.h"

namespace proxy {

class Server;
class Worker;

enum class Replication : std::uint8_t { kNone, kPhysical, kLogical };

class Client final : public net::Connection, public pool::Waiter {
 public:
  enum class State : std::uint8_t {
    kStartup,  // nothing or a part of the first packet
    kTlsHandshake,
    kLookup,       // auth_query is under way
    kPassword,     // asked for a password or a SASL message
    kWelcome,      // logged in; a server is asked what to tell the client
    kIdle,         // no request, no transaction, and no server (unless pinned)
    kWaiting,      // its request waits for a server connection
    kActive,       // a request is in flight
    kReplicating,  // all bytes pass between it and a server of its own
    kConsole,      // talks to the admin console
    kClosing,      // what was written last is still leaving; no reading
    kClosed,       // in the graveyard
  };

  Client(Worker& worker, net::Stream stream, std::uint32_t slot);
  ~Client() override;

  // Called by the worker and the servers.
  void on_granted(Server& server);            // a lease: the waiting request is sent
  void refuse(const protocol::Error& error);  // the waiting request fails with this
  void reroute();                             // the waiting request looks for a server again
  bool replicates() const { return replication_ != Replication::kNone; }
  void on_server_lost(Server& lost, std::string_view why);  // detached already
  void resume();                                            // look at the input again
  // The server, detached already, has not answered these requests: they are input again. False
  // when that has happened too often.
  enum class Where : std::uint8_t {
    kAnywhere,
    kPrimary,
    kNew,  // on a connection that nobody has used
  };
  bool run_again(protocol::Bytes requests, Where where);
  // What is run again was refused by a replica for what it is.
  void on_misroute();
  // A replica has refused to write for the first of these: from now on it counts as a write.
  void note_refused(protocol::Bytes requests) const;
  bool has_run_again() const { return reruns_ != 0; }
  bool was_first() const { return was_first_; }  // to use the server at hand
  bool may_ask_for_new() { return !was_first_ && !std::exchange(asked_for_new_, true); }
  void close(std::string_view why);
  void fail(const protocol::Error& error);  // FATAL: tells, then closes
  void cancel();                            // a cancel request with the right key arrived
  void sweep(base::Time now);               // deadlines
  bool needs_sweep_within(base::Duration time, base::Time now) const;

  void push();  // writes what was relayed and made; a failure closes

  struct Wait {
    const char* what = nullptr;  // null: it does not wait
    base::Time since{};
    std::string host;  // whose connections it waits for; "" = no one's
  };
  Wait wait() const;

  // From the server's relay.
  void on_parse_ended(std::uint64_t statement, bool ok);
  void on_unnamed_ended(std::uint64_t statement, bool skipped);  // not well
  void on_statement_ended(const sql::Analysis& analysis, int index, std::string_view tag);
  void on_error();
  // client_count.cc
  void count_end(StatementStats::Ref what, StatementMeter::Ended how, std::string_view said);
  // What the client is told when the server's own words would not make sense to it.
  std::optional<protocol::Error> error_instead(std::uint32_t note) const;
  // With the client's names for its statements; false = there are none in it.
  bool write_renamed(protocol::Bytes error);
  void write_reworded(protocol::Bytes error, std::string_view message);
  bool in_read_only() const;  // a transaction, as the client has asked for
  void on_ready_for_query(char status);
  void on_probe_row(protocol::Bytes body);
  void on_position(protocol::Bytes body);
  void on_probe_ended();
  void on_probe_failed();
  bool reports_commit();
  void report_commit();
  void on_reported(protocol::Bytes body);
  void end_report();
  // client_share.cc
  std::uint64_t settings_hash() const { return settings_.hash(); }
  bool shares() const { return shares_ != nullptr; }  // its turn on another's connection is to come
  Server* place_behind(HostPool& pool);
  Server* shared_server(HostPool& pool, std::uint32_t over);
  bool may_follow(Server& server_there, base::Time now);
  void share_from_line(Server& shared);
  void note_answered();
  void on_turn(Server& shared);
  void leave_shared(protocol::Bytes requests);
  bool is_single_read() const;
  bool is_short_there(const HostPool& pool);
  bool may_share(const HostPool& pool);
  // client_hedge.cc
  void hedge();  // what its server does is late
  void on_race_won(Server& winner);
  // client_listen.cc
  bool has_unheard() const { return !unheard_.empty(); }
  void tell_unheard();
  void tell_if_idle();
  void on_notification(protocol::Bytes body);  // of the shared connection
  bool hears_elsewhere(std::string_view channel) const;
  void on_heard();
  void on_listening_lost(std::string_view code, std::string_view why);
  void on_settings_applied();
  // The server, which owes nothing, is not needed any more: true when the client has let it go.
  bool part_from_server();
  void on_releasable();  // the server owes nothing and is in no transaction
  void on_flushed();     // the server owes nothing, a batch is open
  void write_made_up(const session::Entry& entry);

  std::string who() const;                          // for logs: id, db/user, address
  const config::Database* database_config() const;  // null = none that is known

  const std::uint64_t id;
  const std::uint32_t slot;  // of the worker's table: part of the cancel key's pid
  const base::WallTime connected_at;
  const net::Address peer;
  std::string cancel_key;
  session::Pins pins;
  Server* server = nullptr;

  State state() const { return state_; }
  PoolSet* pools() const { return pools_; }
  ConnectionRow row(base::Time now) const;
  std::uint64_t waited_us(base::Time now) const;  // 0: it does not wait
  // Its transaction is over and it has no request: may be closed by a drain.
  bool quiet() const;
  bool has_console() const { return console_ != nullptr; }

 private:
  friend class Worker;

  void on_ready() override;
  void go_on();  // with what an event told of
  void pump();
  void set_state(State state);
  void note_written();
  const char* state_name() const;
  bool input_blocked() const;
  void on_hang_up();
  void sweep_active(base::Time now);
  void drop_server();
  void use_pools(PoolSet* pools);

  // client_login.cc, client_auth.cc
  std::size_t on_startup_bytes(protocol::Bytes in);
  void on_ssl_request(bool last);
  bool begins_with_tls();
  void start_tls();
  void continue_handshake();
  void on_startup(const protocol::StartupMessage& message);
  bool take_parameters(const protocol::StartupMessage& message);
  void find_secret();
  void on_secret(absl::StatusOr<AuthLookup::Found> found);
  void start_auth();
  void on_password(protocol::Bytes body);
  void check_password(std::string_view given);
  void on_sasl(protocol::Bytes body);
  void auth_failed(std::string_view detail_for_log);
  void auth_ok();
  void fail_unknown_database();
  void log_in();
  bool asks_for_console() const;
  void enter_console();
  void send_welcome(const ServerParameters& parameters);
  std::string welcome_key() const;
  const ServerParameters* known_welcome() const;  // null = none
  static std::string clean_application_name(std::string_view name);
  std::size_t on_console_bytes(protocol::Bytes in);
  void on_console_reply(protocol::Bytes bytes, bool close_it);

  // client_replication.cc
  bool take_replication(const protocol::StartupMessage& message);
  const config::Database* replicated_database() const;
  PoolSet* replication_pools(const config::Database& database);
  void begin_replication();

  // client_request.cc
  std::size_t on_session_bytes(protocol::Bytes in);
  std::size_t on_some_bytes(protocol::Bytes in);
  std::size_t route_gathered(protocol::Bytes in);
  std::size_t on_stream_bytes(protocol::Bytes in);
  bool is_bound() const;
  std::size_t hold();
  bool may_pipeline();
  bool is_as_fresh();
  bool may_write_later();
  bool may_leave_batch() const;
  std::size_t go_on_behind_flush(protocol::Bytes in);
  std::size_t drop_copy(protocol::Bytes in);
  bool answers_will_come() const;
  std::size_t bad_message(char type);
  std::size_t bad_length(protocol::Bytes in);
  std::size_t on_terminate();
  bool says_goodbye();
  bool gather(protocol::Bytes in);
  void gather_frame(const protocol::Frame& frame);
  void note_statements(const sql::Analysis& analysis);
  std::string default_of(std::string_view setting) const;
  bool is_read_only_by_default() const;
  void note_settings() const;
  void note_commit_mode(std::string_view value) const;
  bool is_serializable_by_default() const;
  sql::Names names_meant() const;
  void join(const sql::Analysis* analysis);
  const sql::Analysis* analysis_of(std::string_view statement) const;
  const sql::AnalysisPtr& analysis_of(const session::PreparedStatement& statement) const;
  const sql::Catalog* catalog() const;
  sql::AnalysisPtr analyze(std::string_view text) const;
  std::size_t answer_empty_batch();
  bool sets_bad_value(const sql::Analysis& analysis);
  session::Rerun::Request rerun_kind() const;
  bool is_judged_read() const;
  bool can_be_rerun() const;
  void on_wait_expired();
  void tell_of_wait(base::Time now);
  std::size_t write_refusal(protocol::Bytes in);
  std::size_t skip_refused(protocol::Bytes in);

  // client_begin.cc
  struct Begin {
    std::string isolation;  // "" = by default
    std::string modes;      // the others, as they stand behind it
  };
  void note_sent(char type);
  void note_modes(const sql::Statement& begin);
  bool may_begin_on_replica(const sql::Statement& begin);
  bool leaves_snapshot_open();
  sql::AnalysisPtr gathered_begin() const;
  void note_begin();
  void note_begun(char status);
  bool may_begin_elsewhere() const;
  bool begins_elsewhere();
  std::size_t on_first_in_block(protocol::Bytes in);
  void begin_anew();
  void fail_begun();
  std::string_view lone_begin(protocol::Bytes in) const;
  int usable_primary() const;
  bool may_defer_begin();
  std::size_t defer_begin(protocol::Bytes in);
  void send_deferred_begin();
  bool raises(const sql::SetStatement& set);
  bool raises(const sql::Analysis& statement);
  bool may_be_stale(const sql::Analysis& statement);
  config::Consistency level_by_rules(const sql::Analysis& statement);
  bool refuse_stale_unread();
  void note_ends(const sql::Analysis& statement);
  void forget_proof();

  // client_route.cc
  route::SessionView view();
  config::Consistency session_level();
  config::Consistency block_level();
  config::Consistency consistency();
  sql::Access routed_access();
  void note_route(const route::Decision& decision, sql::Access access);
  void await_sample();
  void route_request();
  bool looks_for_server() const;
  bool adopt_new_pools();
  void wait_held();
  void wait_for_primary();
  enum class MayRefuse : std::uint8_t { kNo, kYes };
  bool enter_line(MayRefuse may_refuse);
  void leave_line();
  void refuse_to_wait(const char* limit);
  void refuse_route(protocol::Error&& error);
  void leave_held();
  void wait_in(HostPool& pool);
  bool is_too_used(const Server& found) const;
  Server* spare_server(HostPool& pool);
  void attach(Server& server);
  void begin_lease(Server& with);
  void note_proof(Server& with);
  bool equalize_settings();
  void send_settings();  // those that the server lacks; does not push

  // client_share.cc
  std::size_t send_behind(protocol::Bytes in);
  void stop_sharing();
  void take_back_shared();
  void forget_sent(protocol::Bytes requests);

  // client_hedge.cc
  void note_late();
  bool is_racing() const;
  route::Decision find_rival_host(protocol::Bytes request);
  bool may_race(protocol::Bytes request) const;
  void race(Server& with, protocol::Bytes request);
  void send_again(const protocol::Frame& frame, session::Entry&& entry);

  // client_loss.cc
  static std::string_view code_of(session::Outcome outcome);
  std::string what_dies_with(const Server& lost, bool rolled_back) const;
  void end_session(std::string_view code, std::string_view why, const std::string& kept);
  void note_loss(const Server& lost, const session::Loss& loss);
  void write_loss(const session::Exchange& exchange, const session::Reply& reply,
                  std::string_view why);
  void write_done(const session::Exchange& exchange, const session::Reply& reply);
  std::size_t on_bytes_in_lost(protocol::Bytes in);
  void write_lost();
  void on_sync_in_lost();
  void leave_lost();
  bool end_lost(const sql::Statement& statement);
  bool on_query_in_lost(protocol::Bytes body);
  bool on_batch_in_lost(char type, protocol::Bytes body);
  bool parse_in_lost(protocol::Bytes body);
  sql::AnalysisPtr find_portal(std::string_view name) const;

  // client_lsn.cc
  static std::string_view lsn_query();
  void finish_report();

  // client_listen.cc
  std::string encoding() const;
  bool listens_together(const HostPool& pool) const;
  bool wait_for_listeners(HostPool& pool);
  bool note_listening(const session::Change& change);
  void unlisten(std::string_view channel);  // "" = all
  void leave_listeners();
  bool is_settled(const Server& with) const;
  void settle_notifications(Server& with);
  void note_channels_asked();
  void show_channels();

  // client_explain.cc
  std::string explanation(std::string_view text);
  std::vector<std::string> explain_route(const sql::Analysis& analysis);
  std::string decision_text(const route::Decision& decision) const;

  // client_sequences.cc
  bool may_advance_sequences() const;
  Server* own_sequence_server(HostPool& pool);
  bool awaits_own_sequence_server(const HostPool& pool) const;
  Server* last_written(const HostPool& pool) const;
  void keep_sequences();
  void forget_sequences();
  bool must_discard_sequences() const;
  bool discard_sequences();
  bool note_sequence_asked();

  // client_rules.cc
  void refresh_rules();
  void note_patterns(const sql::Analysis& analysis);
  bool has_rules();
  route::Terms terms();
  bool gather_anew_after_reload();

  // client_forward.cc
  std::size_t send_gathered(protocol::Bytes in);
  bool wants_position() const;
  void ask_position();
  std::size_t forward(protocol::Bytes in);
  std::size_t forward_large(protocol::Bytes in, const protocol::Header& header);
  std::size_t wait_for_whole(const protocol::Header& header);
  bool expect(session::Entry&& entry);
  void expect_failure(session::Expect what, std::uint32_t note);
  void forward_frame(const protocol::Frame& frame);
  bool note_asked(const sql::Analysis& analysis);
  void forward_query(const protocol::Frame& frame);
  std::optional<std::string> renamed_sql(std::string_view text, const sql::Analysis& analysis);
  bool has_sql_prepared(std::string_view name) const;
  bool is_tracked(const sql::Analysis& analysis) const;
  bool may_not_pin(const sql::Analysis& analysis);
  void forward_parse(const protocol::Frame& frame);
  void forward_bind(const protocol::Frame& frame);
  bool forward_parse_start(protocol::Bytes in, std::size_t total);
  void on_parse_bytes(protocol::Bytes piece);
  void note_names(protocol::Bytes piece);
  void forward_bind_start(protocol::Bytes in, std::size_t total);
  void forward_named(const protocol::Frame& frame);
  void forward_execute(const protocol::Frame& frame);
  void note_statement(const sql::Analysis& analysis);
  static std::string shown(const sql::Statement& statement, const sql::Analysis& analysis);
  void note_unread_statement();
  void note_access(sql::Access access, bool may_advance);
  void note_writer();
  void note_end_of_transaction();
  void note_portal(std::string_view portal, const session::StatementPtr* known);
  void note_opaque(std::string_view text);
  void drop_unnamed();
  void make_room(const session::PreparedStatement& statement);
  void put_unnamed(const session::StatementPtr& statement);
  void ensure_prepared(const session::PreparedStatement& statement);
  std::string_view server_name_of(std::string_view statement, const session::StatementPtr* known);

  // client_count.cc
  void count_as(const sql::Analysis& analysis, std::string_view text);
  void note_routed(const sql::Analysis& analysis);
  void count_ready(char status);
  void count_refusal(protocol::Bytes in);
  StatementMeter::Server measured(const Server& of) const;
  void on_slow(const StatementMeter::Slow& slow, Server* on);
  void log_slow(const StatementMeter::Slow& slow, Server* on) const;
  void count_loss(Server& lost, const session::Loss& loss);

  // client_trace.cc
  void note_sent_statement(std::string_view text, const protocol::Bytes* of_bind);
  void tell_spans(const StatementMeter::Slow& slow, const SentStatements::Sent& sent, Server* on);

  // client_reply.cc
  void on_tracked_end(char status);
  std::uint16_t pinning_residue(const sql::Statement& statement) const;
  std::string probe();
  void note_datestyle();
  void on_deallocated(const std::string& name);

  Worker& worker_;
  State state_ = State::kStartup;
  base::Time since_{};          // of the state
  base::Time request_since_{};  // when the request was complete
  base::Time told_of_wait_{};   // request_since_ of the request whose wait was told last
  base::Time idle_since_{};     // when the server last owed nothing
  base::Time transaction_since_{};
  base::Time stalled_since_{};  // it has taken nothing since of what is to be written
  std::uint64_t written_then_ = 0;
  base::Time request_time_{};  // when it last got a server; {} = never

  // The log-in; freed once it is done.
  struct Login {
    protocol::StartupMessage startup;
    std::string secret;  // stored form
    std::optional<protocol::ScramServer> scram;
    std::string md5_salt;
    base::Time began{};
    bool user_known = false, may_log_in = true;
    std::string peer;  // who of the operating system it is, if that is proof enough; "" = not
    bool tls_done = false, direct_tls = false, ssl_refused = false, gss_refused = false;
  };
  std::unique_ptr<Login> login_;
  std::string user_, database_, application_name_;
  Replication replication_ = Replication::kNone;
  bool version32_ = false, counted_ = false;

  // The session.
  PoolSet* pools_ = nullptr;
  session::Settings base_, settings_, probed_;  // at start-up; now; as a probe finds them
  mutable std::uint64_t settings_as_of_ = 0;    // settings_.hash() of these two:
  mutable std::optional<bool> serializable_;    // by default; nullopt = as on the server
  mutable bool creates_in_temp_ = false;        // search_path begins with pg_temp
  mutable sql::Names names_ = sql::Names::kDefaultPath;
  session::ClientStatements statements_;
  std::vector<std::string> sql_prepared_;  // names that PREPARE gave
  std::string last_named_;                 // the statement that it used last
  session::Transaction transaction_;
  std::vector<std::pair<std::string, sql::AnalysisPtr>> portals_;  // tracked ones
  session::OwnSettings own_;
  route::SessionRules rules_;
  std::uint32_t rules_of_ = 0;  // Worker::config_version(); 0 = rules_ is out of date
  // As route::SessionView has them.
  base::Time as_of_{}, host_as_of_{}, kept_since_{}, on_primary_since_{}, awaiting_since_{};
  base::Time no_await_before_{};
  base::Time strong_as_of_{};  // of the request that is being routed
  base::Time routed_by_{};     // what its replica was chosen by was asked for then
  int read_host_ = -1;
  protocol::Lsn as_of_lsn_ = 0, host_lsn_ = 0;
  base::Time position_asked_{};
  bool position_valid_ = false;   // nothing was sent since the position was asked for
  std::uint32_t kept_reads_ = 0;  // since kept_since_
  char status_ = 'I';

  std::string deferred_begin_;  // has been answered, and is still to be sent; "" = none is
  base::Time deferred_until_{};
  std::string sent_begin_;      // the same, once it is sent, until what it was sent for is answered
  std::optional<Begin> begin_;  // of its READ ONLY transaction, of which nothing else was answered
  Begin said_;                  // what the request says of it
  bool begin_used_ = false;     // something else was sent
  std::optional<Begin> begun_;  // likewise, once something was answered
  bool chain_sent_ = false;     // what was sent last begins another such transaction

  // The request.
  Gathered gathered_;
  std::size_t stream_left_ = 0;  // bytes of a large message still to pass
  bool stream_discard_ = false;
  struct LargeParse {
    std::string name;
    std::shared_ptr<session::PreparedStatement> statement;
    bool skipped = false;  // by the server, for an error in front of it
  };
  std::unique_ptr<LargeParse> large_parse_;   // is passing
  std::optional<std::string> names_end_;      // likewise what may name settings: its latest bytes
  bool discard_message_ = false;              // the ledger refused the latest message
  bool force_forward_ = false;                // the next message goes to the server at hand
  bool counted_held_ = false;                 // in Shared::held
  bool held_ = false;                         // input waits for what is in flight
  bool prepares_only_ = false;                // a batch is open, in which nothing has run
  bool prepares_listen_ = false;              // likewise, and a LISTEN comes next
  bool refused_ = false;                      // the rest of a refused request is to be skipped
  bool terminated_ = false;                   // said goodbye
  bool established_ = false;                  // was logged in at the latest sweep
  protocol::Buffer again_;                    // to be run again: input from the next round on
  base::Time again_at_{};                     // not before
  std::uint8_t reruns_ = 0;                   // since something was answered
  Where next_ = Where::kAnywhere;             // the next request must run
  bool misrouted_ = false;                    // on the primary, since a replica has refused it
  bool was_first_ = false, had_new_ = false;  // to use the one at hand; one on the primary
  bool asked_for_new_ = false;                // once in a session, after an error of its own
  std::optional<protocol::Error> refusal_;    // to be answered to the request
  std::string refusal_code_;
  bool wrote_ = false, tracking_ = false;  // the latter: what is not plain is in flight
  bool read_fresh_ = false;          // what is in flight reads data, and later reads go by that
  bool defined_ = false;             // its transaction has changed definitions
  bool altered_defaults_ = false;    // and what sessions start with
  std::uint64_t wrote_on_ = 0;       // the server where it wrote last
  std::uint16_t forbidden_pin_ = 0;  // of the statement that fails for it
  std::string bad_setting_;          // the same
  bool opaque_ = false;              // kOpaque or kUnreadable ran: to be probed
  std::string opaque_by_;            // the latest of them, for SHOW PINS
  std::set<std::string, std::less<>> custom_;  // settings that it may have set, as it names them
  std::set<std::string, std::less<>> called_;  // likewise, by their own text and parameters
  bool unnamed_setting_ = false;  // kUnnamedSetting ran, and no name with a value was found
  bool recheck_ = false;          // a pin may be gone: to be probed
  // Of a commit that others may have been pipelined behind: its position is to be told; what it has
  // notified may be the session's to hear.
  bool report_due_ = false, hear_due_ = false;
  bool owes_ready_ = false;                  // ReadyForQuery waits for these
  std::optional<std::string> reported_lsn_;  // the position; "" = not known
  Listeners* listening_ = nullptr;           // where the session listens together with others
  bool unlistens_ = false;                   // if its transaction commits;
  std::vector<std::string> unlistened_;      // it has, and is still to hear what came before
  bool hearing_ = false;                     // nothing goes on before Listeners::ask() is answered
  protocol::Buffer unheard_;                 // notifications, for when its transaction is over
  std::uint32_t own_pid_ = 0;                // what it notifies comes from there; 0 = nothing
  std::vector<std::pair<std::uint64_t, std::string>> pending_parses_;
  // Unnamed ones that may be skipped, with what was there before.
  std::vector<std::pair<std::uint64_t, session::StatementPtr>> pending_unnamed_;
  bool in_flight_plain_ = true;
  route::Terms in_flight_terms_;
  // What its server is proven to be fresh enough for, and what block_level() was then, which is
  // more where the BEGIN's own word was less.
  config::Consistency in_flight_level_{}, block_level_{};
  protocol::Lsn in_flight_lsn_ = 0;           // likewise: it has replayed that
  Server* shares_ = nullptr;                  // its request is in flight there, behind others'
  std::optional<std::uint16_t> followed_as_;  // of its pool's groups; none where it wants no server
  std::uint32_t spread_turn_ = 0;             // of pool::Spread, in which its request came
  StatementMeter meter_;
  std::unique_ptr<SentStatements> sent_;  // null while nothing is told of each
  std::uint64_t written_before_ = 0;      // of what was counted as sent
  bool may_write_ = false;                // what is being forwarded

  // The server was lost.
  enum class Lost : std::uint8_t {
    kNone,
    kBatch,   // outside of a transaction block, with an open batch; its client is to be told
    kUntold,  // in a transaction block; the next statement is told
    kTold,    // all that does not end the block fails
  };
  Lost lost_ = Lost::kNone;
  bool skips_to_sync_ = false;  // an error was told in a batch
  bool answered_lost_ = false;  // something of a batch was answered well though all is lost
  std::string lost_why_;

  std::unique_ptr<ConsoleSession> console_;
  bool console_busy_ = false;
};

protocol::Error bad_own_setting(std::string_view name);

}  // namespace proxy
