#include "admin/console.h"

#include <memory>
#include <utility>

#include "admin/conversation.h"
#include "admin/engine.h"

namespace admin {
namespace {

class Session : public proxy::ConsoleSession {
 public:
  Session(std::shared_ptr<Engine> engine, const proxy::ConsoleLogin& login)
      : engine_(std::move(engine)), conversation_(std::make_shared<Conversation>(engine_, login)) {}
  ~Session() override { conversation_->leave(); }

  void on_message(char type, protocol::Bytes body, proxy::ConsoleReply reply) override {
    // The reply may destroy this session before the call returns.
    const auto conversation = conversation_;
    conversation->on_message(type, body, std::move(reply));
  }

 private:
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<Conversation> conversation_;
};

}  // namespace

proxy::ConsoleFactory make_console(proxy::Control& control) {
  return [engine = Engine::create(control)](const proxy::ConsoleLogin& login) {
    return std::make_unique<Session>(engine, login);
  };
}

}  // namespace admin
