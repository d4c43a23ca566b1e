// The console, and an administrator and one who may only look on it.
#pragma once

#include "admin/console.h"
#include "client.h"
#include "fake_control.h"

namespace admin_test {

struct Console {
  FakeControl control;
  proxy::ConsoleFactory factory =
      admin::make_console(std::make_shared<admin::EngineOwner>(control));
  Client admin{factory({.user = "root", .who = "client 1 weir/root here", .may_command = true})};
  Client stats{factory({.user = "eye", .who = "client 2 weir/eye there", .may_command = false})};
};

}  // namespace admin_test
