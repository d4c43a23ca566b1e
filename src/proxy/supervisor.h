// What the service manager that started us is told, and when: sd_notify(3).
#pragma once

#include <deque>
#include <functional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/time.h"
#include "net/systemd.h"
#include "proxy/shared.h"

namespace proxy {

// READY=1 once there is a primary, or has been none for kStartup; STATUS= when it changes;
// RELOADING=1 and STOPPING=1 as they happen; WATCHDOG=1 as often as it is asked for, if all workers
// have answered; MAINPID= when another process takes over, which tells nothing before. Costs
// nothing without a service manager. Thread rule: the control thread.
class Supervisor {
 public:
  struct Asks {
    std::function<bool()> has_primaries;
    std::function<std::string()> status;
    std::function<void(std::function<void()> answered)> workers;  // answered: by all of them
    std::function<void()> on_ready;  // once, also without a service manager
    std::function<bool()> is_main;   // the process that the service manager listens to
  };
  static constexpr base::Duration kStartup = base::seconds(10);

  explicit Supervisor(Asks asks);

  void on_start(base::Time now);
  base::Duration tick(base::Time now);  // answers when to be called again, at the latest
  void on_reload_begun(base::Time now);
  void on_reload_ended(bool refused);
  void on_stopping();
  void on_replaced(pid_t by);  // nothing more is told

 private:
  void tell(std::string state);
  void flush();
  void tell_status(base::Time now);
  void watch(base::Time now);

  static constexpr base::Duration kStatusEvery = base::seconds(5);
  static constexpr std::size_t kUnsentMax = 16;

  const Asks asks_;
  net::NotifySocket socket_;
  std::deque<std::string> unsent_;  // while the receiver's queue is full
  bool ready_ = false, is_main_ = false, told_ready_ = false, stopping_ = false, replaced_ = false,
       reload_refused_ = false;
  base::Time ready_at_latest_{}, status_due_{};
  std::string status_;  // as it was told last

  base::Duration watchdog_{};  // between two signs of life; 0 = nobody waits for them
  base::Time watchdog_due_{}, asked_{};
  bool answer_awaited_ = false, silence_told_ = false;
};

// For people, in one line: "12 clients; main: primary db1, 2 of 2 replicas read".
std::string status_line(std::uint32_t clients, const Topology& topology, bool draining);
bool has_primaries(const Topology& topology);  // every cluster its one

}  // namespace proxy
