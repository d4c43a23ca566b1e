// One connection to a PostgreSQL server: its log-in, what it knows, and the relay to its client.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "net/connection.h"
#include "pool/pool.h"
#include "protocol/backend.h"
#include "protocol/error.h"
#include "protocol/scram.h"
#include "proxy/pools.h"
#include "proxy/statement_meter.h"
#include "session/exchange.h"
#include "session/rerun.h"
#include "session/settings.h"
#include "session/statements.h"

namespace proxy {

class Client;
class Listeners;
class Worker;

// Marks of ledger entries that the proxy injects (session::Entry::note).
enum Note : std::uint32_t {
  kNoNote = 0,
  kNoteSettings,  // the settings a client needs, in front of its request
  kNoteReset,     // cleaning before the server may serve another client
  kNoteProbe,     // asks what an opaque statement left behind
  kNotePosition,  // asks how far a replica is behind a read
  kNoteBegin,     // begins a transaction anew
  kNoteReport,    // asks for the position that covers a commit
  kNoteHeard,     // asks nothing: what was committed before is told in front of the answer
  kNoteUnnamed,   // a Parse of the unnamed statement
  // Bound to fail, in place of what the client may not do:
  kNoteTooMuch,   // to prepare more statements
  kNoteBadValue,  // to set one of our settings to what it cannot have
  kNoteNoPin,     // to leave state behind that config::Pinning forbids
  kNoteStale,     // to read fresher than the replica that it cannot leave
  kNoteSequence,  // to be told what sequences gave to others
};

class Server final : public net::Connection, public pool::Server {
 public:
  enum class State : std::uint8_t {
    kResolving,   // the host's name
    kConnecting,  // the socket
    kTlsAnswer,   // SSLRequest sent
    kTlsHandshake,
    kLogin,   // start-up packet sent
    kReady,   // logged in: idle or leased, as pool_state() says
    kClosed,  // in the graveyard
  };

  Server(Worker& worker, HostPool& pool);
  ~Server() override;

  void start();  // resolves and connects; ends in Worker::on_server_ready or on_server_failed

  void push();  // writes; a failure closes the server and tells the client
  void inject_query(std::string_view sql, Note note);  // swallowed; does not push
  void discard_sequences();                            // likewise
  void note_sequences_discarded();

  void close(std::string_view why);  // at once: the client, if any, is told
  // The socket may be read again (the client has taken what it was sent).
  void resume();
  // A message is not all here of which the client has a part.
  bool cut_short() const { return stream_left_ != 0 && stream_forward_; }
  bool told_end() const { return fatal_relayed_; }  // to the client
  void forget_answer();    // whatever was in flight is no client's any more
  void cancel_finished();  // one of the cancel connections has ended

  const std::string& name() const { return name_; }  // for logs
  const config::Database* database_config() const;   // null = it is gone
  HostPool& pool() { return pool_; }
  State state() const { return state_; }
  bool uses_tls() const { return stream_.is_tls(); }
  // As the latest snapshot has it: everything may be sent here.
  bool on_primary() const { return pool_.set.snapshot().primary == static_cast<int>(pool_.host); }
  // Not on what is known to be a replica. A primary that is silent for a moment is none in the
  // snapshot, and what was begun there goes on there.
  bool may_write() const;
  // What its sessions start with has changed since it was opened: nobody is to get it any more, but
  // for the session that it is kept for.
  bool is_outdated() const;
  bool must_close() const;  // as soon as it is free
  bool is_close_needed() const { return close_when_free || pool_.set.retired || is_outdated(); }
  ConnectionRow row(base::Time now) const;

  // Identity and bookkeeping.
  const std::uint64_t id;
  const base::WallTime connected_at;
  base::Time opened_at{}, ready_at{};  // since when it is being opened; is logged in
  base::Duration lifetime{};           // with its jitter; 0 = for ever
  std::uint64_t defaults_of = 0;       // SessionDefaults::version() when it was opened
  bool opened_early = false;           // on a replica that had not replayed that change
  std::uint32_t backend_pid = 0;
  std::string backend_key;
  net::Address address{};

  // The session on the server.
  session::Exchange exchange;
  session::Rerun rerun;        // what is in flight, where it may be run again
  session::Settings settings;  // as applied
  session::ServerStatements statements;
  std::uint64_t unnamed_statement = 0;  // id of the one it has; 0 = none of ours
  ServerParameters parameters;
  std::string encoding(std::string_view parameter) const;  // as session::plain_encoding() has it
  bool settings_unknown = false;  // an opaque statement ran: reset before the next client
  bool dirty = false;             // was pinned: DISCARD ALL before the next client
  bool shows_channels = false;    // of those who listen elsewhere: UNLISTEN likewise
  bool failed_by_host = false;    // what is in flight: its disk is full, its files cannot be read
  bool probing = false;           // what its client left on it is being asked
  bool abandoned = false;         // its client went without a word: what runs is to be cancelled
  bool has_served = false;        // a client has had it
  bool had_temp = false;          // it may have a temporary schema, even if nothing is in it
  // The client that last wrote here; 0 = none since the connection knows of no sequence.
  static constexpr std::uint64_t kNobody = UINT64_MAX;  // it is gone
  std::uint64_t last_writer = 0;
  bool has_written_for_others(std::uint64_t client_id) const {
    return last_writer != 0 && last_writer != client_id;
  }
  // The client that last ran here what may notify; 0 = none. Any session's, also when it is gone.
  std::uint64_t last_notifier = 0;
  Listeners* listeners = nullptr;  // who share it to LISTEN; null = it is a connection like others
  bool others_sequences = false;   // others wrote before it, and what sequences gave them is there
  bool plans_stale = false;        // what its statements answer has changed: prepare them anew

  // The lease.
  Client* client = nullptr;
  base::Time busy_since{};    // when the request in flight was sent; {} = none
  std::uint32_t cancels = 0;  // cancel connections under way: not to be reused before
  bool cancel_again = false;  // another was asked for meanwhile
  bool close_when_free = false;
  // A read that was late runs on both, until one answers (client_hedge.cc): they are one client's,
  // whose Client::server is the first of them meanwhile.
  Server* rival = nullptr;
  base::Time late_at{};  // when what is in flight becomes late; {} = that does not matter
  // What is in flight is one short read of its client's: others' may be sent behind it.
  bool is_shareable = false;
  bool is_watched = false;      // by the worker: that it takes not too long
  bool asked_to_write = false;  // by its client, or for a transaction that may
  std::string last_code;        // SQLSTATE of what it said about its end; "" = it said nothing
  base::Time request_time{};    // when it was last given to a client; {} = never
  // Its host is at work for a client, or for one that has left.
  void set_active(bool is_active);
  void set_overdue(bool is_overdue);  // what it does takes far longer than that does as a rule
  // server_share.cc. Reads of other clients that were sent behind the one in flight, each to be
  // answered in its turn; while the last one is being sent, the ledger at hand is its own.
  bool has_followers() const { return line_count_ != 0; }
  std::size_t followers() const { return line_count_; }
  bool has_place(const Client& follower, base::Time now) const;
  void begin_following(Client& follower);
  void end_following();
  void unfollow(const Client& follower);                      // it wants no answer any more
  protocol::Bytes requests_of(const Client& follower) const;  // valid until unfollow()
  void take_next();
  // They look for another server: what they have sent is answered to nobody.
  void scatter();
  // StatementStats::Ref of what is to be answered first, behind what we have asked ourselves.
  std::uint64_t counted() const;
  // What the client was answered since this was last called.
  StatementMeter::Answer take_answer() { return std::exchange(answer_, {}); }

 private:
  friend class Worker;
  void on_ready() override;
  void pump();
  void set_state(State state);
  void stop_writing();

  // server_login.cc
  void connect_next(std::string error);
  void on_connected();
  void start_tls();
  void continue_handshake();
  void send_startup();
  std::size_t on_login_bytes(protocol::Bytes in);
  bool on_login_frame(char type, protocol::Bytes body);
  bool on_authentication(protocol::Bytes body);
  bool answer_sasl(protocol::Bytes mechanisms);
  void lacks_secret(std::string why);
  void login_failed(std::string why, std::optional<protocol::Error> error = {});
  void note_defaults();
  Secret secret() const;

  // server_relay.cc
  std::size_t on_session_bytes(protocol::Bytes in);
  bool must_be_whole(char type, std::size_t bytes) const;
  bool on_session_frame(char type, protocol::Bytes raw, protocol::Bytes body, bool whole);
  void on_failure(const session::Step& step, Note note, protocol::Bytes raw, protocol::Bytes body,
                  bool whole);
  bool ends_with(protocol::Bytes error);
  bool on_error_frame(protocol::Bytes raw, protocol::Bytes body);
  bool run_again(protocol::Bytes error);
  void on_race_frame(char type);
  bool ends_unheard(protocol::Bytes error);
  bool leave_answered_client();
  bool relay_renamed(protocol::Bytes error);
  bool relay_notification(protocol::Bytes body);
  bool relay_as_primary(protocol::Bytes error);
  void relay_to_client(char type, protocol::Bytes raw);
  void relay_held();
  void drop_held();
  void keep_held();  // the input ends
  void write_made_up();
  void on_step(const session::Step& step, char type, protocol::Bytes raw, protocol::Bytes body,
               bool whole);
  void on_idle_frame(char type, protocol::Bytes body);
  void on_dropped(const session::Entry& entry, bool skipped);
  void on_hidden_failure(Note note, protocol::Bytes body);
  void note_fatal(protocol::Bytes body);

  // server_share.cc
  struct Follower {
    Client* client = nullptr;  // null: it has left
    session::Exchange exchange;
    session::Rerun rerun;
  };
  Follower& follower(std::size_t i) { return line_[(line_first_ + i) % line_.size()]; }
  const Follower& follower(std::size_t i) const { return line_[(line_first_ + i) % line_.size()]; }
  void swap_ledgers(Follower& with);
  void pass_on();

  Worker& worker_;
  HostPool& pool_;
  State state_ = State::kResolving;
  std::string name_;
  std::vector<net::Address> addresses_;
  std::size_t next_address_ = 0;
  std::size_t stream_left_ = 0;  // bytes of a large message still to be relayed
  bool stream_forward_ = false;
  protocol::Bytes held_;          // of the present input: goes to the client with what follows it
  protocol::Buffer held_before_;  // the same of earlier input
  StatementMeter::Answer answer_;
  bool held_answer_ = false;    // it holds more than what precedes an answer
  bool fatal_relayed_ = false;  // the client was told that this is the end
  bool broken_ = false;         // nothing can be written: what has come is still read
  std::vector<Follower> line_;  // a ring
  std::size_t line_first_ = 0, line_count_ = 0;
  Client* sender_ = nullptr;  // whose request is in flight, while a follower's is being sent
  std::optional<protocol::ScramClient> scram_;
  bool active_ = false, overdue_ = false;
  bool tls_refused_ = false;  // under sslmode=prefer: go on without
  bool tls_wanted_ = false;   // under sslmode=allow: it was refused without
  bool logged_in_ = false;    // AuthenticationOk came
};

}  // namespace proxy
