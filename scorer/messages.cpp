#include "messages.h"

#include <cstdarg>
#include <cstdio>

void fail(const char * format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Failure(text);
}

void say(const char * format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("kvsweep-scorer: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    fflush(stderr);
    va_end(arguments);
}
