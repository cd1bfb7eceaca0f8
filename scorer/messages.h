// What goes wrong, and what is said on stderr.
#pragma once

#include <stdexcept>

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Raises Failure with the text; as printf.
[[noreturn]] void fail(const char * format, ...);

// A line of this program in the engine's log.
void say(const char * format, ...);
