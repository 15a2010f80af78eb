# Two Terminals. `make help` says what can be made.
#
# Every .cpp directly in a chapter is one program: tcp/echo_server.cpp becomes build/tcp/echo_server. Adding a program is
# adding one file.

CHAPTERS := tcp udp unix websocket
PACKAGES := fmt libcrypto

# ---- What to build with: make CXX=clang++, make SANITIZE=address,undefined (or thread), make OPTIMIZE=1

CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
empty :=
comma := ,
SANITIZE :=
OPTIMIZE :=
BUILD := build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))$(if $(OPTIMIZE),/optimized)
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Werror=format-security $(if $(CI),-Werror)
CXXFLAGS := $(if $(OPTIMIZE),-O2 -DNDEBUG,-O0) -g
ALL_CXXFLAGS = -std=c++20 -I. $(WARNINGS) $(CXXFLAGS) $(PACKAGE_CFLAGS) $(SANITIZERS) -MMD -MP
SANITIZERS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)

# ---- What there is

# Programs that only one system can run say so in their name, and are left out on the others.
LINUX_ONLY := $(wildcard $(CHAPTERS:%=%/epoll_*.cpp) $(CHAPTERS:%=%/abstract_*.cpp) tcp/sniffer.cpp)
BSD_ONLY := $(wildcard $(CHAPTERS:%=%/kqueue_*.cpp))
FOREIGN := $(if $(filter Linux,$(shell uname)),$(BSD_ONLY),$(LINUX_ONLY))

PROGRAM_SOURCES := $(filter-out $(FOREIGN),$(wildcard $(CHAPTERS:%=%/*.cpp)))
COMMON_SOURCES := $(wildcard common/*.cpp)
PROTOCOL_SOURCES := $(wildcard websocket/protocol/*.cpp)
TEST_SOURCES := $(wildcard tests/*.cpp tests/unit/*.cpp tests/programs/*.cpp tests/support/*.cpp)
SOURCES := $(COMMON_SOURCES) $(PROTOCOL_SOURCES) $(PROGRAM_SOURCES) $(TEST_SOURCES)
HEADERS := $(wildcard common/*.hpp websocket/*.hpp websocket/protocol/*.hpp tests/*.hpp tests/*/*.hpp)

PROGRAMS := $(PROGRAM_SOURCES:%.cpp=$(BUILD)/%)
objects = $(patsubst %.cpp,$(BUILD)/objects/%.o,$(1))
COMMON := $(BUILD)/libcommon.a
PROTOCOL := $(BUILD)/libprotocol.a
TESTS := $(BUILD)/tests/all

# ---- Are the packages there? Asked once, and only where something is built.

ifneq ($(filter-out help clean format,$(or $(MAKECMDGOALS),programs)),)
  ifneq ($(shell $(CXX) --version >/dev/null 2>&1 && pkg-config --exists $(PACKAGES) catch2 && echo yes),yes)
    $(error A compiler or a library is missing (needed: $(CXX) pkg-config $(PACKAGES) catch2); run: sh scripts/setup)
  endif
  PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
  PACKAGE_LIBS := $(shell pkg-config --libs $(PACKAGES))
  # Catch2 version 3 is a library with a main of its own; version 2 is one header, and tests/main.cpp makes the main.
  CATCH_CFLAGS := $(shell pkg-config --cflags catch2)
  CATCH_LIBS := $(shell pkg-config --exists catch2-with-main && pkg-config --libs catch2-with-main)
endif

# ---- Building

.PHONY: programs tests
programs: $(PROGRAMS) compile_commands.json
tests: programs $(TESTS)

$(PROGRAMS): $(BUILD)/%: $(BUILD)/objects/%.o $(PROTOCOL) $(COMMON)
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -o $@ $^ $(PACKAGE_LIBS)

$(COMMON): $(call objects,$(COMMON_SOURCES))
$(PROTOCOL): $(call objects,$(PROTOCOL_SOURCES))
$(COMMON) $(PROTOCOL):
	@rm -f $@
	ar rcs $@ $^

$(TESTS): $(call objects,$(TEST_SOURCES)) $(PROTOCOL) $(COMMON)
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -o $@ $^ $(PACKAGE_LIBS) $(CATCH_LIBS)

$(call objects,$(TEST_SOURCES)): PACKAGE_CFLAGS += $(CATCH_CFLAGS)

$(BUILD)/objects/%.o: %.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(CXX) $(ALL_CXXFLAGS) -c -o $@ $<

# Another compiler or other flags build everything anew: the file changes when they do, and only then.
FLAGS := $(CXX) $(WARNINGS) $(CXXFLAGS) $(SANITIZERS)
.PHONY: always
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(FLAGS)' | cmp -s - $@ || echo '$(FLAGS)' >$@

# For clangd and clang-tidy.
compile_commands.json: $(BUILD)/flags Makefile $(SOURCES)
	@{ echo '['; separator=''; for source in $(SOURCES); do \
	  printf '%s{"directory": "%s", "file": "%s", "command": "%s"}' "$$separator" '$(CURDIR)' "$$source" \
	    "$(CXX) $(filter-out -MMD -MP,$(ALL_CXXFLAGS)) -c $$source"; separator=',\n'; done; echo; echo ']'; } >$@

-include $(patsubst %.o,%.d,$(call objects,$(SOURCES)))

# ---- Using

.PHONY: help demo test bench-build format lint check check-macos clean
help:
	@echo 'make                                all programs, into build/'
	@echo 'make demo [PAIR=udp/echo]           each pair once, both sides narrated'
	@echo 'make test [ONLY="[tcp]"]            builds and runs every test (or those that Catch2 finds by ONLY)'
	@echo 'make SANITIZE=address,undefined test    the same under sanitizers; also SANITIZE=thread'
	@echo 'make CXX=clang++                    with clang; OPTIMIZE=1 for speed, CI=1 for warnings as errors'
	@echo 'make bench-build                    what building costs'
	@echo 'make format, make lint, make check  clang-format; clang-tidy; are the files formatted and the scripts sound?'
	@echo 'make check-macos                    compiles everything for macOS (downloads a compiler from npm)'
	@echo 'make clean                          removes build/'

demo: programs
	@scripts/demo $(PAIR)

test: tests
	@TWO_TERMINALS_BUILD=$(BUILD) $(TESTS) $(ONLY)

bench-build:
	@scripts/bench-build

format:
	clang-format -i $(SOURCES) $(HEADERS)

check:
	clang-format --dry-run --Werror $(SOURCES) $(HEADERS)
	shellcheck .ci/run $(wildcard scripts/*)

lint: compile_commands.json
	@echo $(SOURCES) | xargs -n 1 -P 2 clang-tidy --quiet -p .

check-macos:
	@scripts/check-macos $(filter-out $(LINUX_ONLY),$(SOURCES)) $(BSD_ONLY)

clean:
	rm -rf build compile_commands.json
