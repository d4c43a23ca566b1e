// A Control that answers from a hand-made Inspection and remembers what it was told to do.
#pragma once

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
    std::string reload_note, order_note;
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
  config::ConfigPtr config() const override { return config_; }
  void reload(absl::AnyInvocable<void(absl::Status, std::string)> done) override {
    note("reload");
    later([answers = now(), done = std::move(done)]() mutable {
      done(answers.status, answers.reload_note);
    });
  }
  void pause(std::string_view database, absl::AnyInvocable<void(absl::Status)> done) override {
    note("pause " + std::string(database));
    if (now().hold_pause) {
      held.push_back(std::move(done));
      return;
    }
    later([status = now().status, done = std::move(done)]() mutable { done(status); });
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
  void shutdown(Shutdown how) override {
    note(how == Shutdown::kNow ? "shutdown now" : "shutdown drain");
  }
  bool draining() const override { return now().draining; }

  std::vector<std::string> calls() {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

  std::vector<absl::AnyInvocable<void(absl::Status)>> held;

 private:
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
  std::vector<std::thread> threads_;
};

}  // namespace admin_test
