// A Control that answers from a hand-made Inspection and remembers what it was told to do.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/control.h"

namespace admin_test {

proxy::Inspection sample_inspection();
std::shared_ptr<const config::Config> sample_config();

class FakeControl : public proxy::Control {
 public:
  enum class Answer { kAtOnce, kFromThread, kNever };

  struct Answers {
    proxy::Inspection inspection = sample_inspection();
    absl::Status status;
    Loaded loaded;
    std::string order_note;
    bool draining = false;
    bool hold_pause = false;
    Answer how = Answer::kFromThread;
  };
  // Changes what is answered from now on. Other threads ask at any time.
  template <class Change>
  void set(Change change) {
    const std::lock_guard lock(mutex_);
    change(answers_);
  }

  ~FakeControl() override {
    for (std::thread& thread : threads_) thread.join();
  }

  void inspect(absl::AnyInvocable<void(proxy::Inspection)> done, proxy::InspectParts) override {
    later([copy = now().inspection, done = std::move(done)]() mutable { done(std::move(copy)); });
  }
  config::ConfigPtr config() const override {
    const std::lock_guard lock(mutex_);
    return config_;
  }
  void set_config(config::ConfigPtr config) {
    const std::lock_guard lock(mutex_);
    config_ = std::move(config);
  }
  void reload(LoadDone done) override {
    note("reload");
    load(std::move(done));
  }
  void set(config::Change change, LoadDone done) override {
    std::string call = change.overrides.empty() ? "reset " + change.key : "set";
    for (const std::string& override : change.overrides) call += " " + override;
    note(std::move(call));
    load(std::move(done));
  }
  void wait_close(std::string_view database, std::function<bool()> given_up,
                  absl::AnyInvocable<void(absl::Status)> done) override {
    note("wait_close " + std::string(database));
    if (now().hold_pause) {
      const std::lock_guard lock(mutex_);
      has_given_up = std::move(given_up);
      held.push_back(std::move(done));
      return;
    }
    later([status = now().status, done = std::move(done)]() mutable { done(status); });
  }
  void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) override {
    note("pause " + std::string(database));
    if (now().hold_pause) {
      const std::lock_guard lock(mutex_);
      held.push_back(std::move(done));
      return;
    }
    later([status = now().status, done = std::move(done)]() mutable { done(status); });
  }
  bool holds() {
    const std::lock_guard lock(mutex_);
    return !held.empty();
  }
  absl::Status resume(std::string_view db) override { return did("resume", db); }
  absl::Status reconnect(std::string_view db) override { return did("reconnect", db); }
  absl::Status disable(std::string_view db) override { return did("disable", db); }
  absl::Status enable(std::string_view db) override { return did("enable", db); }
  absl::Status kill(std::string_view db) override { return did("kill", db); }
  absl::Status kill_client(std::uint64_t id) override {
    return did("kill_client", std::to_string(id));
  }
  void reset_statements() override { note("reset_statements"); }
  void order(proxy::HostOrder order, proxy::ConsoleLogin by,
             absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) override;
  void upgrade(absl::AnyInvocable<void(absl::StatusOr<std::string>)> done) override {
    note("upgrade");
    const absl::Status status = now().status;
    done(status.ok() ? absl::StatusOr<std::string>("process 4711 accepts clients") : status);
  }
  void shutdown(Shutdown how) override {
    note(how == Shutdown::kNow ? "shutdown now" : "shutdown drain");
  }
  bool draining() const override { return now().draining; }
  void log(const proxy::CommandRecord& record) override {
    const std::lock_guard lock(mutex_);
    records_.push_back(record);
  }

  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  std::vector<proxy::CommandRecord> records() {
    const std::lock_guard lock(mutex_);
    return records_;
  }

  std::vector<absl::AnyInvocable<void(absl::Status)>> held;
  std::function<bool()> has_given_up;  // of who waits in `held`

 private:
  void load(LoadDone done) {
    later([answers = now(), done = std::move(done)]() mutable {
      if (!answers.status.ok()) return done(answers.status);
      done(answers.loaded);
    });
  }
  void later(absl::AnyInvocable<void()> call) {
    switch (now().how) {
      case Answer::kAtOnce:
        return call();
      case Answer::kFromThread: {
        const std::lock_guard lock(mutex_);
        threads_.emplace_back(std::move(call));
        return;
      }
      case Answer::kNever:
        return;
    }
  }
  void note(std::string call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
  }
  absl::Status did(std::string what, std::string_view database) {
    note(what + " " + std::string(database));
    return now().status;
  }
  Answers now() const {
    const std::lock_guard lock(mutex_);
    return answers_;
  }

  config::ConfigPtr config_ = sample_config();
  mutable std::mutex mutex_;
  Answers answers_;
  std::vector<std::string> calls_;
  std::vector<proxy::CommandRecord> records_;
  std::vector<std::thread> threads_;
};

}  // namespace admin_test
