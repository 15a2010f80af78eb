// No answer to anything: it crashes.

#include <csignal>

int main() { raise(SIGSEGV); }
