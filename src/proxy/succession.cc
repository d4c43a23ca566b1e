#include "proxy/succession.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace proxy {
namespace {

constexpr const char* kPredecessor = "WEIR_PREDECESSOR";
constexpr int kFirstInherited = 3;  // SD_LISTEN_FDS_START
constexpr std::size_t kPacketMax = 512;
constexpr std::size_t kPidBytes = sizeof(std::uint32_t);
constexpr char kReady = 'R', kCancel = 'C';

absl::Status failed(const char* call) {
  return absl::UnavailableError(std::string(call) + ": " + std::strerror(errno));
}

// Of the file that is there now: an upgrade has put another one in the place of ours.
std::string program() {
  std::array<char, PATH_MAX> path;
  const auto length = readlink("/proc/self/exe", path.data(), path.size());
  std::string found(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  constexpr std::string_view kReplaced = " (deleted)";
  if (found.ends_with(kReplaced)) found.resize(found.size() - kReplaced.size());
  return found;
}

std::vector<std::string> arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> found;
  for (std::string word; std::getline(file, word, '\0');) found.push_back(word);
  return found;
}

// Ours, without what was said of this process only.
std::vector<std::string> environment() {
  std::vector<std::string> kept;
  for (char** at = environ; *at != nullptr; ++at) {
    const std::string_view variable = *at;
    if (variable.starts_with("LISTEN_") || variable.starts_with("WATCHDOG_PID=")) continue;
    kept.emplace_back(variable);
  }
  return kept;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> made;
  for (auto& word : words) made.push_back(word.data());
  made.push_back(nullptr);
  return made;
}

// Files that the child gets as 3, 4 ...: copies of them above all those numbers.
class Copies {
 public:
  ~Copies() {
    for (const int fd : fds_) ::close(fd);
  }
  bool add(int fd, int above) {
    fds_.push_back(fcntl(fd, F_DUPFD_CLOEXEC, above));
    return fds_.back() >= 0;
  }
  const std::vector<int>& list() const { return fds_; }

 private:
  std::vector<int> fds_;
};

// Between fork and exec, where other threads may hold any lock: system calls only.
[[noreturn]] void become(const char* path, char* const* argv, char* const* envp, char* own_pid,
                         const std::vector<int>& files) {
  int next = kFirstInherited;
  for (const int fd : files) dup2(fd, next++);
  close_range(static_cast<unsigned>(next), ~0U, 0);
  std::to_chars(own_pid, own_pid + std::numeric_limits<pid_t>::digits10 + 1, getpid());
  execve(path, argv, envp);
  _exit(127);
}

}  // namespace

Predecessor::Predecessor() {
  const char* text = getenv(kPredecessor);
  if (text == nullptr) return;
  int fd = -1;
  std::from_chars(text, text + std::strlen(text), fd);
  unsetenv(kPredecessor);
  int type = 0;
  socklen_t length = sizeof type;
  const bool ours = fd >= kFirstInherited &&
                    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
                    type == SOCK_SEQPACKET;
  if (!ours) return;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fd_ = fd;
}

Predecessor::~Predecessor() {
  if (fd_ >= 0) ::close(fd_);
}

void Predecessor::tell_ready() {
  if (fd_ < 0 || std::exchange(told_, true)) return;
  if (::send(fd_, &kReady, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    spdlog::warn("weir: the process that is to be replaced does not listen: {}",
                 std::strerror(errno));
  }
}

void Predecessor::pass_on(const protocol::CancelRequest& request) const {
  if (fd_ < 0 || 1 + kPidBytes + request.key.size() > kPacketMax) return;
  std::string packet(1, kCancel);
  packet.append(reinterpret_cast<const char*>(&request.pid), kPidBytes);
  packet += request.key;
  // Once the old process has ended nobody can be meant.
  (void)::send(fd_, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

absl::StatusOr<std::unique_ptr<Successor>> Successor::start(net::Loop& loop,
                                                            std::span<const int> listening,
                                                            Heard heard) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return failed("socketpair");
  const int count = static_cast<int>(listening.size());
  const int above = kFirstInherited + count + 1;
  Copies files;
  bool copied = true;
  for (const int fd : listening) copied = copied && files.add(fd, above);
  copied = copied && files.add(pair[1], above);
  ::close(pair[1]);
  if (!copied) {
    const auto status = failed("fcntl");
    ::close(pair[0]);
    return status;
  }
  const std::string path = program();
  auto words = arguments();
  auto variables = environment();
  variables.push_back("LISTEN_FDS=" + std::to_string(count));
  variables.push_back(std::string(kPredecessor) + "=" + std::to_string(kFirstInherited + count));
  constexpr std::string_view kPid = "LISTEN_PID=";
  variables.push_back(std::string(kPid) + std::string(16, '\0'));  // its own word for it
  const auto argv = pointers(words), envp = pointers(variables);
  const pid_t pid = fork();
  if (pid == 0) {
    become(path.c_str(), argv.data(), envp.data(), variables.back().data() + kPid.size(),
           files.list());
  }
  if (pid < 0) {
    const auto status = failed("fork");
    ::close(pair[0]);
    return status;
  }
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<Successor>(new Successor(loop, pair[0], pid, std::move(heard)));
}

Successor::Successor(net::Loop& loop, int fd, pid_t pid, Heard heard)
    : loop_(loop), fd_(fd), pid_(pid), heard_(std::move(heard)), begun_(net::read_clock()) {
  loop_.watch_level(fd_, *this);
}

Successor::~Successor() {
  if (!ended_) loop_.unwatch(fd_);
  ::close(fd_);
}

void Successor::on_events(std::uint32_t) {
  std::array<std::uint8_t, kPacketMax> packet;
  while (!ended_) {
    const auto length = recv(fd_, packet.data(), packet.size(), 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length <= 0) return on_end();
    on_packet(protocol::Bytes(packet.data(), static_cast<std::size_t>(length)));
  }
}

void Successor::on_packet(protocol::Bytes packet) {
  if (packet[0] == kReady && !std::exchange(ready_, true)) return heard_.ready(pid_);
  if (packet[0] != kCancel || packet.size() < 1 + kPidBytes) return;
  protocol::CancelRequest request{};
  std::memcpy(&request.pid, packet.data() + 1, kPidBytes);
  const auto key = packet.subspan(1 + kPidBytes);
  request.key.assign(key.begin(), key.end());
  heard_.cancel(request);
}

// It closes its end when it ends only.
void Successor::on_end() {
  loop_.unwatch(fd_);
  ended_ = true;
  int status = 0;
  const bool known = waitpid(pid_, &status, 0) == pid_;
  if (ready_) return;
  std::string why = "it ended before it served";
  if (too_slow_) why = "it did not serve within " + std::to_string(base::to_ms(kStartup)) + " ms";
  if (known && WIFEXITED(status)) {
    why += ", with exit code " + std::to_string(WEXITSTATUS(status));
  } else if (known && WIFSIGNALED(status)) {
    why += ", by signal " + std::to_string(WTERMSIG(status));
  }
  heard_.failed(std::move(why));
}

void Successor::check(base::Time now) {
  if (ready_ || ended_ || too_slow_ || now - begun_ < kStartup) return;
  too_slow_ = true;
  ::kill(pid_, SIGKILL);
}

}  // namespace proxy
