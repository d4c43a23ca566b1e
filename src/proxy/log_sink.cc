#include "proxy/log_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/details/log_msg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <thread>
#include <utility>

namespace proxy {
namespace {

// syslog(3)'s numbers.
int severity(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::critical:
    case spdlog::level::err:
      return 3;
    case spdlog::level::warn:
      return 4;
    case spdlog::level::info:
      return 6;
    default:
      return 7;
  }
}

int facility_code(config::LogFacility facility) {
  switch (facility) {
    case config::LogFacility::kDaemon:
      return 3;
    case config::LogFacility::kUser:
      return 1;
    case config::LogFacility::kAuth:
      return 4;
    case config::LogFacility::kAuthpriv:
      return 10;
    default:
      return 16 + static_cast<int>(facility) - static_cast<int>(config::LogFacility::kLocal0);
  }
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {  // somebody else made standard error so
      pollfd waiting{.fd = fd, .events = POLLOUT, .revents = 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

}  // namespace

// Where lines go; the writing thread's own.
class LogSink::Outlet {
 public:
  ~Outlet() { close(); }

  // Answers what was wrong, "" = nothing.
  std::string open(const config::Logging& logging) {
    close();
    logging_ = logging;
    if (logging.output != config::LogOutput::kStderr) return connect();
    if (logging.file.empty()) return "";
    fd_ = ::open(logging.file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd_ >= 0) return "";
    return std::string("weir: log.file cannot be opened, standard error is used: ") +
           std::strerror(errno);
  }

  void write(const std::vector<Line>& lines) {
    if (is_socket_) {
      for (const Line& line : lines) send(line);
      return;
    }
    std::string all;
    for (const Line& line : lines) all += line.text;
    write_all(fd_ >= 0 ? fd_ : STDERR_FILENO, all);
  }

 private:
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    is_socket_ = false;
  }

  std::string connect() {
    std::string path = logging_.socket;
    if (path.empty()) {
      path = logging_.output == config::LogOutput::kSyslog ? "/dev/log"
                                                           : "/run/systemd/journal/socket";
    }
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    int error = ENAMETOOLONG;
    if (path.size() < sizeof address.sun_path) {
      std::memcpy(address.sun_path, path.data(), path.size());
      fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
      const auto* to = reinterpret_cast<const sockaddr*>(&address);
      is_socket_ = fd_ >= 0 && ::connect(fd_, to, sizeof address) == 0;
      error = errno;
    }
    if (is_socket_) return "";
    close();
    return "weir: " + path + " takes no log lines, standard error is used: " + std::strerror(error);
  }

  std::string datagram(const Line& line) const {
    std::string text = line.text.substr(0, line.text.find('\n'));
    if (logging_.output == config::LogOutput::kJournald) {
      return "PRIORITY=" + std::to_string(severity(line.level)) +
             "\nSYSLOG_IDENTIFIER=" + logging_.ident + "\nMESSAGE=" + text + "\n";
    }
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::array<char, 32> when{};
    std::strftime(when.data(), when.size(), "%b %e %H:%M:%S", &local);
    const int priority = 8 * facility_code(logging_.facility) + severity(line.level);
    return "<" + std::to_string(priority) + ">" + when.data() + " " + logging_.ident + "[" +
           std::to_string(getpid()) + "]: " + text;
  }

  void send(const Line& line) {
    const std::string text = datagram(line);
    const auto once = [&] { return ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); };
    if (is_socket_ && (once() >= 0 || errno == EMSGSIZE)) return;
    // It was started again: its socket is another one.
    close();
    if (connect().empty() && once() >= 0) return;
    write_all(STDERR_FILENO, line.text);
    is_socket_ = true;  // to be tried again with the next line
  }

  config::Logging logging_;
  int fd_ = -1;  // -1: standard error
  bool is_socket_ = false;
};

void LogSink::configure(const config::Logging& logging,
                        std::unique_ptr<spdlog::formatter> formatter) {
  std::lock_guard lock(mutex_);
  logging_ = logging;
  formatter_ = std::move(formatter);
  changed_ = true;
  if (!std::exchange(started_, true)) {
    std::thread([self = shared_from_this()] { self->run(); }).detach();
  }
  wake_.notify_one();
}

void LogSink::close(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  tell_repeated(Clock::time_point::max());
  wake_.notify_one();
  written_.wait_for(lock, most, [this] { return !started_ || (lines_.empty() && !busy_); });
  closed_ = true;
  wake_.notify_one();
}

bool LogSink::has_members(const spdlog::details::log_msg& message) {
  return std::string_view(message.logger_name.data(), message.logger_name.size()) == kMembers;
}

void LogSink::log(const spdlog::details::log_msg& message) {
  std::lock_guard lock(mutex_);
  if (message.level >= spdlog::level::warn && is_repeated(message)) return;
  queue(message);
}

bool LogSink::is_repeated(const spdlog::details::log_msg& message) {
  if (logging_.repeats == 0) return false;
  std::string shape;
  for (const char c : message.payload) {
    if (c < '0' || c > '9') shape += c;
  }
  const auto now = Clock::now();
  tell_repeated(now);
  const std::size_t key = std::hash<std::string>()(shape);
  if (repeated_.size() >= kRepeatedMax && !repeated_.contains(key)) return false;
  Repeated& repeated = repeated_.try_emplace(key, Repeated{.since = now}).first->second;
  if (++repeated.count <= logging_.repeats) return false;
  repeated.level = message.level;
  repeated.last.assign(message.payload.data(), message.payload.size());
  repeated.has_members = has_members(message);
  return true;
}

void LogSink::tell_repeated(Clock::time_point now) {
  std::erase_if(repeated_, [&](const auto& entry) {
    const Repeated& repeated = entry.second;
    if (now != Clock::time_point::max() && now < repeated.since + kRepeatsWithin) return false;
    if (repeated.count > logging_.repeats && repeated.has_members) {
      const std::string more = std::to_string(repeated.count - logging_.repeats);
      queue(spdlog::details::log_msg(kMembers, repeated.level,
                                     repeated.last + ",\"repeated\":" + more));
    } else if (repeated.count > logging_.repeats) {
      queue(repeated.level, std::to_string(repeated.count - logging_.repeats) +
                                " more within 10 s, but for numbers: " + repeated.last);
    }
    return true;
  });
}

void LogSink::queue(spdlog::level::level_enum level, const std::string& text) {
  queue(spdlog::details::log_msg("", level, text));
}

void LogSink::queue(const spdlog::details::log_msg& message) {
  if (closed_ || formatter_ == nullptr) return;
  spdlog::memory_buf_t text;
  formatter_->format(message, text);
  if (bytes_ + text.size() > logging_.queue_bytes) {
    ++dropped_;
    return;
  }
  bytes_ += text.size();
  lines_.push_back({message.level, std::string(text.data(), text.size())});
  wake_.notify_one();
}

void LogSink::run() {
  Outlet outlet;
  std::vector<Line> lines;
  std::unique_lock lock(mutex_);
  while (!closed_) {
    const auto awaited = [this] { return !lines_.empty() || changed_ || closed_; };
    if (repeated_.empty()) {
      wake_.wait(lock, awaited);
    } else {
      wake_.wait_for(lock, std::chrono::seconds(1), awaited);
      tell_repeated(Clock::now());
    }
    if (std::exchange(changed_, false)) {
      const config::Logging logging = logging_;
      busy_ = true;
      lock.unlock();
      const std::string wrong = outlet.open(logging);
      lock.lock();
      if (!wrong.empty()) queue(spdlog::level::err, wrong);
    }
    std::swap(lines, lines_);
    busy_ = true;
    lock.unlock();
    outlet.write(lines);
    lock.lock();
    for (const Line& line : lines) bytes_ -= line.text.size();  // what is under way counts, too
    lines.clear();
    if (const auto dropped = std::exchange(dropped_, 0); dropped > 0) {
      queue(spdlog::level::warn,
            "weir: " + std::to_string(dropped) + " log lines were dropped: they came too fast");
    }
    busy_ = false;
    if (lines_.empty()) written_.notify_all();
  }
}

}  // namespace proxy
