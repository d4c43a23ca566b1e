// Asks Patroni who is a host, for the clusters that want it so.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "config/config.h"
#include "proxy/libpq_connection.h"

namespace proxy {

// One thread, once there is such a cluster. It asks every second, of the URLs the one that has
// answered last, or the next one that does.
class Patroni {
 public:
  // On the thread: what it has answered, a JSON text of at most 1 MB.
  using Heard = std::function<void(std::string cluster, std::string answer)>;

  explicit Patroni(Heard heard) : heard_(std::move(heard)) {}
  ~Patroni();
  Patroni(const Patroni&) = delete;
  Patroni& operator=(const Patroni&) = delete;

  void configure(const config::Config& config);

 private:
  struct Source {
    std::vector<std::string> urls;
    std::size_t next = 0;
    bool silent = false;  // nobody has answered, which was said
  };

  void run();
  void ask(const std::string& cluster, Source& source);

  const Heard heard_;
  StopSignal stop_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Source> configured_;  // as it is to be; by cluster
  bool changed_ = false;
  std::thread thread_;
};

}  // namespace proxy
