// No answer to anything: it does nothing.

int main() {}
