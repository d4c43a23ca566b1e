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

// `types`: as told to the client by ParameterDescription, one for each parameter. Text of any
// type is taken as it is; binary of the text and integer types, of bool and of float8.
// On false `error` says what is wrong.
bool bind_parameters(const protocol::Bind& bind, std::span<const std::uint32_t> types,
                     std::vector<Value>& values, protocol::Error& error);

}  // namespace admin
