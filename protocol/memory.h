// Memory for what is large.
#pragma once

#include <cstddef>

namespace protocol {

// Has the system give all pages of new memory at once if they are many: a page at a time, on first
// touch, costs far more than what is then written there. Changes no byte.
void prepare_pages(void* memory, std::size_t bytes);

}  // namespace protocol
