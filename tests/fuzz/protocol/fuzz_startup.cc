// The first packet of a connection, from a peer that nobody knows; and what it says in "options".
#include <cstdlib>

#include "protocol/startup.h"

namespace {

using protocol::Bytes;
using protocol::StartupMessage;
using protocol::StartupResult;

void require(bool holds) {
  if (!holds) std::abort();
}

void check_message(const StartupMessage& message, std::size_t total) {
  require(!message.parameter("user").empty());
  require(message.spoken() == protocol::kVersion30 || message.spoken() == protocol::kVersion32);
  (void)protocol::parse_options(message.parameter("options"));
  // Written again it is read as the same (protocol options aside).
  protocol::Buffer out;
  write_startup(out, message.version, message.parameters);
  require(out.size() <= total);
  const StartupResult again = protocol::read_startup(out.view(), total);
  require(again.status == StartupResult::Status::kPacket);
  require(std::get<StartupMessage>(again.packet).parameters == message.parameters);

  protocol::Buffer negotiation;
  write_negotiate_protocol_version(negotiation, message.spoken(), message.protocol_options);
  const auto decoded = protocol::decode_negotiate(negotiation.view().subspan(5));
  require(decoded && decoded->unknown.size() == message.protocol_options.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes in(data, size);
  const StartupResult result = protocol::read_startup(in, 10'000);
  if (result.status == StartupResult::Status::kPacket) {
    require(result.total >= 8 && result.total <= size);
    if (const auto* message = std::get_if<StartupMessage>(&result.packet)) {
      check_message(*message, result.total);
    }
    if (const auto* cancel = std::get_if<protocol::CancelRequest>(&result.packet)) {
      require(cancel->key.size() >= 4 && cancel->key.size() <= protocol::kMaxCancelKeyBytes);
    }
    // A prefix of a good packet is never an error.
    for (std::size_t n = 0; n < result.total; ++n) {
      require(protocol::read_startup(in.first(n), 10'000).status ==
              StartupResult::Status::kNeedMore);
    }
  }
  (void)protocol::parse_options(protocol::as_text(in));
  (void)protocol::decode_negotiate(in);
  return 0;
}
