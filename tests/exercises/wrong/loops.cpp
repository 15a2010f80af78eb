// No answer to anything: it never ends, and says nothing.

#include <unistd.h>

int main() {
    for (;;)
        pause();
}
