#include "proxy/succession.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <utility>

namespace proxy {
namespace {

constexpr const char* kPredecessor = "WEIR_PREDECESSOR";  // files, with "," between them
constexpr int kFirstInherited = 3;                        // SD_LISTEN_FDS_START
constexpr std::size_t kPredecessorsMax = 64;
constexpr std::size_t kPacketMax = 4096;
constexpr std::size_t kPidBytes = sizeof(std::uint32_t);

// The first byte of a packet. To the old process:
constexpr char kReady = 'R';   // I serve
constexpr char kFailed = 'F';  // and why
constexpr char kNotRun = 'X';  // and errno of execve(2)
constexpr char kCancel = 'C';  // and the process number and the key of a cancel request
constexpr char kReload = 'H';
// To the new one:
constexpr char kLeft = 'L';

absl::Status failed(const char* call) {
  return absl::UnavailableError(std::string(call) + ": " + std::strerror(errno));
}

std::vector<std::string> arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> found;
  for (std::string word; std::getline(file, word, '\0');) found.push_back(word);
  return found;
}

bool is_program(const std::string& path) {
  struct stat file{};
  return stat(path.c_str(), &file) == 0 && S_ISREG(file.st_mode) && access(path.c_str(), X_OK) == 0;
}

// By the name that it was called by: an upgrade puts another file, or a link to one, in that place.
std::string program(const std::string& called) {
  if (called.find('/') != std::string::npos && is_program(called)) return called;
  if (const char* path = getenv("PATH"); path != nullptr && called.find('/') == std::string::npos) {
    std::string_view left = path;
    while (!left.empty()) {
      const std::size_t colon = std::min(left.find(':'), left.size());
      const std::string candidate = std::string(left.substr(0, colon)) + "/" + called;
      if (colon > 0 && is_program(candidate)) return candidate;
      left.remove_prefix(std::min(colon + 1, left.size()));
    }
  }
  std::array<char, PATH_MAX> link;
  const auto length = readlink("/proc/self/exe", link.data(), link.size());
  std::string found(link.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  constexpr std::string_view kReplaced = " (deleted)";
  if (found.ends_with(kReplaced)) found.resize(found.size() - kReplaced.size());
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
  explicit Copies(std::size_t count) : above_(kFirstInherited + static_cast<int>(count)) {}
  ~Copies() {
    for (const int fd : fds_) ::close(fd);
  }
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
  bool add(int fd) {
    const int copy = fcntl(fd, F_DUPFD_CLOEXEC, above_);
    if (copy >= 0) fds_.push_back(copy);
    return copy >= 0;
  }
  const std::vector<int>& list() const { return fds_; }

 private:
  const int above_;
  std::vector<int> fds_;
};

// Between fork and exec, where other threads may hold any lock: system calls only.
[[noreturn]] void become(const char* path, char* const* argv, char* const* envp, char* own_pid,
                         const std::vector<int>& files, int predecessor) {
  int next = kFirstInherited;
  for (const int fd : files) dup2(fd, next++);
  close_range(static_cast<unsigned>(next), ~0U, 0);
  std::to_chars(own_pid, own_pid + std::numeric_limits<pid_t>::digits10 + 1, getpid());
  execve(path, argv, envp);
  const std::array<char, 2> packet{kNotRun, static_cast<char>(errno)};
  send(predecessor, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  _exit(127);
}

bool is_pair(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  return fd >= kFirstInherited && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
         type == SOCK_SEQPACKET;
}

bool peer_has_ended(int fd) {
  char byte;
  return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace

Predecessor::Predecessor() {
  const char* text = getenv(kPredecessor);
  if (text == nullptr) return;
  const std::string_view list = text;
  const char* const end = list.data() + list.size();
  for (const char* at = list.data(); at < end && fds_.size() < kPredecessorsMax;) {
    int fd = -1;
    const auto read = std::from_chars(at, end, fd);
    if (read.ec != std::errc() || !is_pair(fd)) break;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fds_.push_back(fd);
    at = read.ptr + 1;
  }
  unsetenv(kPredecessor);
}

Predecessor::~Predecessor() {
  for (const int fd : fds_) ::close(fd);
}

void Predecessor::tell_ready() {
  if (fds_.empty()) return;
  if (::send(fds_[0], &kReady, 1, MSG_NOSIGNAL | MSG_DONTWAIT) != 1) {
    spdlog::warn("weir: the process that is to be replaced does not listen: {}",
                 std::strerror(errno));
  }
}

void Predecessor::tell_failed(std::string_view why) {
  if (fds_.empty()) return;
  const std::string packet = kFailed + std::string(why.substr(0, kPacketMax - 1));
  (void)::send(fds_[0], packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool Predecessor::has_left() {
  if (fds_.empty() || left_) return true;
  char byte;
  const auto length = recv(fds_[0], &byte, 1, MSG_DONTWAIT);
  left_ = length == 0 || (length == 1 && byte == kLeft) ||
          (length < 0 && errno != EAGAIN && errno != EINTR);
  return left_;
}

void Predecessor::tell(std::string_view packet) const {
  // Those that have ended had nobody whom it could concern.
  for (const int fd : fds_) {
    (void)::send(fd, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

void Predecessor::pass_on(const protocol::CancelRequest& request) const {
  if (1 + kPidBytes + request.key.size() > kPacketMax) return;
  std::string packet(1, kCancel);
  packet.append(reinterpret_cast<const char*>(&request.pid), kPidBytes);
  packet += request.key;
  tell(packet);
}

void Predecessor::pass_on_reload() const { tell({&kReload, 1}); }

std::vector<int> Predecessor::alive() const {
  std::vector<int> found;
  std::ranges::copy_if(fds_, std::back_inserter(found), [](int fd) { return !peer_has_ended(fd); });
  return found;
}

absl::StatusOr<std::unique_ptr<Successor>> Successor::start(net::Loop& loop,
                                                            std::span<const Handed> listening,
                                                            std::span<const int> before,
                                                            Heard heard) {
  before = before.first(std::min(before.size(), kPredecessorsMax - 1));
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return failed("socketpair");
  Copies files(listening.size() + 1 + before.size());
  bool copied = true;
  std::string names;
  for (const Handed& handed : listening) {
    copied = copied && files.add(handed.fd);
    names +=
        std::string(names.empty() ? "" : ":") + (handed.with_path ? Handed::kWithPath : "weir");
  }
  int next = kFirstInherited + static_cast<int>(listening.size());
  const int ours = next++;
  std::string ends = std::to_string(ours);
  copied = copied && files.add(pair[1]);
  for (const int fd : before) {
    copied = copied && files.add(fd);
    ends += "," + std::to_string(next++);
  }
  const auto copying = copied ? absl::OkStatus() : failed("fcntl");
  ::close(pair[1]);
  auto words = arguments();
  if (!copied || words.empty()) {
    ::close(pair[0]);
    return copied ? absl::UnavailableError("/proc/self/cmdline cannot be read") : copying;
  }
  const std::string path = program(words[0]);
  auto variables = environment();
  variables.push_back("LISTEN_FDS=" + std::to_string(listening.size()));
  variables.push_back("LISTEN_FDNAMES=" + names);
  variables.push_back(std::string(kPredecessor) + "=" + ends);
  constexpr std::string_view kPid = "LISTEN_PID=";
  variables.push_back(std::string(kPid) + std::string(16, '\0'));  // its own word for it
  const auto argv = pointers(words), envp = pointers(variables);
  const pid_t pid = fork();
  if (pid == 0) {
    become(path.c_str(), argv.data(), envp.data(), variables.back().data() + kPid.size(),
           files.list(), ours);
  }
  if (pid < 0) {
    const auto status = failed("fork");
    ::close(pair[0]);
    return status;
  }
  spdlog::info("weir: online restart: process {} is started from {}", pid, path);
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<Successor>(new Successor(loop, pair[0], pid, std::move(heard)));
}

Successor::Successor(net::Loop& loop, int fd, pid_t pid, Heard heard)
    : loop_(loop), fd_(fd), pid_(pid), heard_(std::move(heard)), begun_(net::read_clock()) {
  loop_.watch_level(fd_, *this);
}

Successor::~Successor() {
  if (watched_) loop_.unwatch(fd_);
  ::close(fd_);
}

void Successor::on_events(std::uint32_t) {
  std::array<std::uint8_t, kPacketMax> packet;
  while (watched_) {
    const auto length = recv(fd_, packet.data(), packet.size(), 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length > 0) {
      on_packet(protocol::Bytes(packet.data(), static_cast<std::size_t>(length)));
      continue;
    }
    // All who had the other end are gone. Its exit code tells more: check() sees it.
    loop_.unwatch(fd_);
    watched_ = false;
  }
}

void Successor::on_packet(protocol::Bytes packet) {
  const auto rest = packet.subspan(1);
  const std::string_view text(reinterpret_cast<const char*>(rest.data()), rest.size());
  switch (packet[0]) {
    case kReady:
      if (!std::exchange(ready_, true)) heard_.ready(pid_);
      return;
    case kFailed:
      why_ = text;
      return;
    case kNotRun:
      if (!text.empty()) why_ = std::string("it cannot be run: ") + std::strerror(text[0]);
      return;
    case kReload:
      return heard_.reload();
    case kCancel: {
      if (text.size() < kPidBytes) return;
      protocol::CancelRequest request{};
      std::memcpy(&request.pid, text.data(), kPidBytes);
      request.key.assign(text.substr(kPidBytes));
      return heard_.cancel(request);
    }
    default:  // of a newer program: it can do without an answer
      return;
  }
}

void Successor::on_ended(int status) {
  ended_ = true;
  on_events(EPOLLIN);  // its last words
  const std::string how = WIFSIGNALED(status)
                              ? "by signal " + std::to_string(WTERMSIG(status))
                              : "with exit code " + std::to_string(WEXITSTATUS(status));
  if (ready_) {
    if (status != 0) spdlog::error("weir: process {}, which took over, ended {}", pid_, how);
    return;
  }
  std::string why = "the new process ended before it served, " + how;
  if (too_slow_) {
    why = "the new process did not serve within " + std::to_string(base::to_ms(kStartup)) + " ms";
  }
  if (!why_.empty()) why += ": " + why_;
  while (why.ends_with('\n')) why.pop_back();
  std::ranges::replace(why, '\n', ';');
  heard_.failed(std::move(why));
}

void Successor::check(base::Time now) {
  if (ended_) return;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) == pid_) return on_ended(status);
  if (ready_ || too_slow_ || now - begun_ < kStartup) return;
  too_slow_ = true;
  ::kill(pid_, SIGKILL);
}

void Successor::tell_left() { (void)::send(fd_, &kLeft, 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

void Successor::call_off() {
  if (ready_ || ended_) return;
  spdlog::info("weir: online restart: called off, process {} is ended", pid_);
  ::kill(pid_, SIGTERM);
}

}  // namespace proxy
