// The parameters of a Bind as SQL values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "admin/table.h"
#include "protocol/error.h"
#include "protocol/frontend.h"

namespace admin {

// The OIDs that a Parse declares. nullopt: malformed.
std::optional<std::vector<std::uint32_t>> parameter_types(const protocol::Parse& parse);

// `types`: as told to the client by ParameterDescription, one for each parameter. Text of numbers,
// bool and timestamps becomes what columns of theirs hold, so that they compare; so does a text
// that is a timestamp with a zone. Other text is taken as it is. Binary: of the text types,
// integers, floats, bool and timestamps.
// On false `error` says what is wrong.
bool bind_parameters(const protocol::Bind& bind, std::span<const std::uint32_t> types,
                     std::vector<Value>& values, protocol::Error& error);

}  // namespace admin
