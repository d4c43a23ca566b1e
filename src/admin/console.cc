#include "admin/console.h"

#include <memory>
#include <utility>

#include "admin/conversation.h"
#include "admin/engine.h"

namespace admin {
namespace {

class Session : public proxy::ConsoleSession {
 public:
  Session(std::shared_ptr<EngineOwner> owner, const proxy::ConsoleLogin& login)
      : owner_(std::move(owner)),
        conversation_(std::make_shared<Conversation>(owner_->engine(), login)) {}
  ~Session() override { conversation_->leave(); }

  void on_message(char type, protocol::Bytes body, proxy::ConsoleReply reply) override {
    // The reply may destroy this session before the call returns.
    const auto conversation = conversation_;
    conversation->on_message(type, body, std::move(reply));
  }
  void cancel() override { conversation_->cancel(); }

 private:
  const std::shared_ptr<EngineOwner> owner_;
  const std::shared_ptr<Conversation> conversation_;
};

}  // namespace

proxy::ConsoleFactory make_console(std::shared_ptr<EngineOwner> engine) {
  return [owner = std::move(engine)](const proxy::ConsoleLogin& login) {
    return std::make_unique<Session>(owner, login);
  };
}

}  // namespace admin
