// Random clients in front of a model server: what reaches the client through the ledger must be
// what a direct connection would have given it, in the same order, whatever the timing, although
// requests of ours are mixed in and some answers are made up without asking the server.
//
// Usage: simulation [first seed [number of seeds]]
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

#include "ledger.h"
#include "model_server.h"
#include "script.h"
#include "session/exchange.h"

namespace simulation {
namespace {

using session::Entry;
using session::Expect;
using session::Fate;

constexpr std::uint32_t kOurs = ~std::uint32_t{0};  // Entry::note; else an index into the script

struct Totals {
  std::size_t forwarded = 0, swallowed = 0, made_up = 0, dropped = 0, lost = 0, uncertain = 0;
};

class Run {
 public:
  Run(Random& random, const Script& script, Totals& totals)
      : random_(random), script_(script), totals_(totals) {
    prepare_known(server_);
  }

  // "" or what is wrong.
  std::string run() {
    while (wrong_.empty() && !given_up_) {
      if (!step()) break;
      make_up();
      exchange_.invariants();
      check_release();
      if (to_server_.empty() && from_server_.empty()) at_rest();
    }
    if (wrong_.empty()) finish();
    return wrong_;
  }

 private:
  bool step() {
    const bool client = next_ < script_.sent.size();
    if (!client && to_server_.empty() && from_server_.empty()) return false;
    switch (random_.below(3)) {
      case 0:
        if (client) client_sends(script_.sent[next_]);
        break;
      case 1:
        server_works();
        break;
      default:
        server_answers();
        break;
    }
    return true;
  }

  void client_sends(const Sent& sent) {
    inject(sent);
    const auto note = static_cast<std::uint32_t>(next_++);
    const Message& message = sent.message;
    if (message.type == 'd' || message.type == 'H') {
      to_server_.push_back(message);
      return;
    }
    Entry entry{.what = expect_of(message.type), .note = note};
    if (sent.in_batch && can_make_up()) {
      const bool same = message.text == "known=select 1" || message.text == "Snever";
      // The server knows nothing of our error: only where it does not matter.
      entry.error = !script_.transactions && message.text.starts_with("dup=");
      if (same || entry.error) entry.fate = Fate::kMakeUp;
    }
    const bool made_up = entry.fate == Fate::kMakeUp;
    guessing_ |= exchange_.skipping() && exchange_.uncertain() && entry.what != Expect::kSync;
    if (exchange_.expect(std::move(entry)) && !made_up) to_server_.push_back(message);
  }

  bool can_make_up() { return !script_.chaos && !script_.early_failure && random_.one_in(2); }

  void inject(const Sent& sent) {
    if (script_.chaos || !random_.one_in(3)) return;
    if (sent.boundary) {
      const char* const texts[] = {"select 2", "set;warn", "", "insert;insert", "fail"};
      ask(texts[random_.below(script_.transactions ? 4 : 5)]);
    } else if (sent.in_batch && sent.message.type == 'B') {
      Entry entry{.what = Expect::kParse, .fate = Fate::kSwallow, .note = kOurs};
      if (exchange_.expect(std::move(entry))) to_server_.push_back({'P', "ours=select 1"});
    }
  }

  void ask(const char* text) {
    Entry entry{.what = Expect::kQuery, .fate = Fate::kSwallow, .note = kOurs};
    if (exchange_.expect(std::move(entry))) to_server_.push_back({'Q', text});
  }

  void server_works() {
    if (to_server_.empty()) return;
    for (Message& answer : server_.feed(to_server_.front())) {
      from_server_.push_back(std::move(answer));
    }
    to_server_.pop_front();
  }

  void server_answers() {
    if (from_server_.empty()) return;
    const Message message = std::move(from_server_.front());
    from_server_.pop_front();
    const session::Step step = exchange_.on_server(message.type, protocol::as_bytes(message.text));
    if (step.forward) seen_.push_back(message);
    ++(step.forward ? totals_.forwarded : totals_.swallowed);
    if (step.failed) totals_.dropped += exchange_.dropped().size();
    if (exchange_.uncertain()) ++totals_.uncertain;
    if (step.unexpected) {
      // Only a client that goes on behind a COPY that has not ended may cost the connection.
      const bool excused = guessing_ || server_.closed() ||
                           (script_.chaos && exchange_.lost() && exchange_.uncertain());
      if (!excused) wrong_ = "unexpected " + show({message});
      given_up_ = true;
    }
    if (step.statement_index >= 0) check_statement(step, message);
  }

  void check_statement(const session::Step& step, const Message& message) {
    if (step.entry == nullptr || step.entry->note == kOurs) return;
    const Message& sent = script_.sent[step.entry->note].message;
    if (sent.type == 'E') {
      if (step.statement_index != 0 || !step.entry_done) wrong_ = "wrong end of an Execute";
      return;
    }
    const std::vector<std::string> parts = split(sent.text);
    const auto index = static_cast<std::size_t>(step.statement_index);
    const std::string expected = parts.empty() ? "" : index < parts.size() ? parts[index] : "?";
    const bool undone = expected == "commit" && message.text == "rollback";
    if (expected != message.text && !undone) {
      wrong_ = "statement " + std::to_string(index) + " is not " + message.text;
    }
  }

  void make_up() {
    while (std::optional<Entry> entry = exchange_.take_made_up()) {
      ++totals_.made_up;
      const char type = entry->what == Expect::kClose ? '3' : '1';
      seen_.push_back(entry->error ? Message{'E', "42P05"} : Message{type, ""});
    }
  }

  // Whatever the client did: a server that is given to the next one must have nothing to say.
  void check_release() {
    if (!exchange_.releasable() || given_up_) return;
    for (const Message& message : from_server_) {
      if (message.type != 'S' && message.type != 'N') wrong_ = "released with answers to come";
    }
    ModelServer server = server_;
    for (const Message& message : to_server_) {
      if (!server.feed(message).empty()) wrong_ = "released with work to do";
    }
    if (!server.clean() && !server.closed()) wrong_ = "released while in use";
  }

  // Nothing is on its way: the ledger must know exactly how the server stands.
  void at_rest() {
    if (server_.closed() || exchange_.uncertain() || given_up_ || guessing_) return;
    if (server_.reading_copy() != exchange_.in_copy_in()) wrong_ = "in_copy_in is wrong";
    if (server_.skipping() && !exchange_.skipping()) wrong_ = "skipping is wrong";
    if (!server_.reading_copy() && !exchange_.empty()) wrong_ = "something is still owed";
    if (exchange_.releasable() && !server_.clean()) wrong_ = "released too early";
    const bool own_error = exchange_.skipping() && !server_.skipping();
    if (server_.clean() && !exchange_.releasable() && !own_error) wrong_ = "never released";
    if (exchange_.releasable() && server_.status() != exchange_.status()) wrong_ = "status";
  }

  void finish() {
    if (!given_up_ && !server_.closed() && !server_.reading_copy()) {
      if (exchange_.uncertain()) ask("");
      while (!to_server_.empty() || !from_server_.empty()) {
        server_works();
        server_answers();
        make_up();
      }
      if (exchange_.uncertain()) wrong_ = "still uncertain";
      if (wrong_.empty()) at_rest();
    }
    ModelServer direct;
    prepare_known(direct);
    Messages expected;
    for (const Sent& sent : script_.sent) {
      for (Message& answer : direct.feed(sent.message)) expected.push_back(std::move(answer));
    }
    if (given_up_) {
      ++totals_.lost;
      expected.resize(std::min(expected.size(), seen_.size()));
    }
    if (!wrong_.empty() || seen_ == expected) return;
    wrong_ = "the client saw other answers\n  direct:  " + show(expected);
    wrong_ += "\n  through: " + show(seen_);
  }

  Random& random_;
  const Script& script_;
  Totals& totals_;
  ModelServer server_;
  session::Exchange exchange_;
  std::deque<Message> to_server_, from_server_;
  Messages seen_;
  std::size_t next_ = 0;
  // It was sent something of which it cannot be known whether the server will skip it.
  bool guessing_ = false;
  bool given_up_ = false;
  std::string wrong_;
};

bool run_seed(std::uint64_t seed, Totals& totals) {
  Random random(seed);
  const Script script = make_script(random);
  const std::string wrong = Run(random, script, totals).run();
  if (wrong.empty()) return true;
  Messages sent;
  for (const Sent& s : script.sent) sent.push_back(s.message);
  std::fprintf(stderr, "seed %llu: %s\n  sent:    %s\n", static_cast<unsigned long long>(seed),
               wrong.c_str(), show(sent).c_str());
  return false;
}

}  // namespace
}  // namespace simulation

int main(int argc, char** argv) {
  const std::uint64_t first = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1;
  const std::uint64_t count = argc > 2   ? std::strtoull(argv[2], nullptr, 10)
                              : argc > 1 ? 1
                                         : 30'000;
  simulation::Totals totals;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    if (!simulation::run_seed(seed, totals)) return 1;
  }
  std::printf(
      "%llu seeds: %zu forwarded, %zu swallowed, %zu made up, %zu dropped, %zu times "
      "uncertain, %zu connections given up\n",
      static_cast<unsigned long long>(count), totals.forwarded, totals.swallowed, totals.made_up,
      totals.dropped, totals.uncertain, totals.lost);
  return 0;
}
