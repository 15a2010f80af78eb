# Two Terminals. `make help` says what can be made.
#
# Every .cpp directly in a chapter is one program: tcp/echo_server.cpp becomes build/tcp/echo_server. Adding a program is
# adding one file.

CHAPTERS := tcp udp unix websocket
PACKAGES := fmt libcrypto zlib nlohmann_json catch2

# ---- How to build: make CXX=clang++, make SANITIZE=address,undefined (or thread), make OPTIMIZE=1

SYSTEM := $(shell uname)
CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
SANITIZE :=
OPTIMIZE :=
comma := ,
BUILD := build$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))$(if $(OPTIMIZE),/optimized)
WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Werror=format-security $(if $(CI),-Werror)
SANITIZERS := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all)
ifeq ($(SANITIZE),thread)  # what runs ends at its first race: a server's words alone would fail no test
  export TSAN_OPTIONS := halt_on_error=1 suppressions=$(CURDIR)/tests/support/thread_sanitizer.supp $(TSAN_OPTIONS)
endif
CXXFLAGS := $(if $(OPTIMIZE),-O2 -DNDEBUG,-O0) -g
TESTS_FASTER := $(if $(OPTIMIZE),,-Og)  # nobody steps through tests as through programs, and every test run waits for them

# As many jobs at a time as there are cores, unless you say otherwise, as in make -j1.
ifeq ($(MAKELEVEL),0)
  MAKEFLAGS += -j$(shell getconf _NPROCESSORS_ONLN)
endif
ifneq ($(filter clean,$(MAKECMDGOALS)),)
  .NOTPARALLEL:  # make clean test: first the one, then the other
endif

# ---- What there is

# Programs that only one system can run say so in their name, and are left out on the others.
LINUX_ONLY := $(wildcard $(CHAPTERS:%=%/epoll_*.cpp) $(CHAPTERS:%=%/abstract_*.cpp) tcp/sniffer.cpp \
  udp/traceroute.cpp)
BSD_ONLY := $(wildcard $(CHAPTERS:%=%/kqueue_*.cpp))
FOREIGN := $(if $(filter Linux,$(SYSTEM)),$(BSD_ONLY),$(LINUX_ONLY))

COMMON_SOURCES := $(wildcard common/*.cpp)
PROTOCOL_SOURCES := $(wildcard websocket/protocol/*.cpp)
PROGRAM_SOURCES := $(filter-out $(FOREIGN),$(wildcard $(CHAPTERS:%=%/*.cpp) scripts/*.cpp))
TEST_SOURCES := $(wildcard tests/*.cpp tests/unit/*.cpp tests/programs/*.cpp tests/support/*.cpp tests/fuzz/*.cpp \
  tests/exercises/*.cpp)
# An exercise is one file, and so is its worked solution. What is a function of its own has a main() among the drivers.
EXERCISE_SOURCES := $(wildcard $(CHAPTERS:%=%/exercises/*.cpp) $(CHAPTERS:%=%/exercises/solutions/*.cpp) \
  tests/exercises/wrong/*.cpp)
DRIVER_SOURCES := $(wildcard tests/exercises/drivers/*.cpp)
RUNNER_SOURCES := tests/exercises/runner/runner.cpp
BENCH_SOURCES := $(wildcard tests/bench/*.cpp)  # on Linux alone: the floor that is measured against is epoll's
SOURCES := $(COMMON_SOURCES) $(PROTOCOL_SOURCES) $(PROGRAM_SOURCES) $(TEST_SOURCES) $(BENCH_SOURCES) \
  $(EXERCISE_SOURCES) $(DRIVER_SOURCES) $(RUNNER_SOURCES)
objects = $(patsubst %.cpp,$(BUILD)/objects/%.o,$(1))

PROGRAMS := $(PROGRAM_SOURCES:%.cpp=$(BUILD)/%)
MEASURING := $(patsubst %.cpp,$(BUILD)/%,$(BENCH_SOURCES))
COMMON := $(BUILD)/libcommon.a
PROTOCOL := $(BUILD)/libprotocol.a
TESTS := $(BUILD)/tests/all
EXERCISES := $(patsubst tests/exercises/%,exercises/%,$(EXERCISE_SOURCES:%.cpp=%))
EXERCISES := $(EXERCISES:%=$(BUILD)/%)
WRONG_ANSWERS := $(patsubst tests/exercises/%.patch,$(BUILD)/exercises/%,$(wildcard tests/exercises/wrong/*/*.patch))
RUNNER := $(BUILD)/tests/exercise

# ---- Is everything installed? Asked once, and only where something is built.

PKG_CONFIG := pkg-config
ifeq ($(SYSTEM),Darwin)  # where Homebrew keeps its OpenSSL apart from Apple's
  PKG_CONFIG := PKG_CONFIG_PATH="$(shell brew --prefix)/opt/openssl@3/lib/pkgconfig:$$PKG_CONFIG_PATH" pkg-config
endif
GOALS := $(or $(MAKECMDGOALS),programs)
BUILDS := $(filter-out help clean format check,$(GOALS))
TOOLS := $(if $(BUILDS),$(firstword $(CXX)) pkg-config) \
  $(if $(filter format check lint,$(GOALS)),clang-format clang-tidy shellcheck)
MISSING := $(strip $(shell for tool in $(TOOLS); do command -v $$tool >/dev/null || echo $$tool; done; \
  for package in $(if $(BUILDS),$(PACKAGES)); do $(PKG_CONFIG) --exists $$package 2>/dev/null || echo $$package; done))
ifneq ($(MISSING),)
  $(error not installed: $(MISSING); run: sh scripts/setup$(if $(filter clang% shellcheck,$(MISSING)), --dev))
endif
ifneq ($(BUILDS),)
  PACKAGE_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
  PACKAGE_LIBS := $(shell $(PKG_CONFIG) --libs $(filter-out catch2,$(PACKAGES)))
  # Catch2 version 3 is a library with a main of its own; version 2 is one header, and tests/main.cpp makes the main.
  CATCH_LIBS := $(shell $(PKG_CONFIG) --exists catch2-with-main && $(PKG_CONFIG) --libs catch2-with-main)
endif

# ---- Building

COMPILE := $(strip $(CXX) -std=c++20 -I. $(WARNINGS) $(CXXFLAGS) $(PACKAGE_CFLAGS) $(SANITIZERS))
LINK := $(strip $(CXX) $(CXXFLAGS) $(SANITIZERS))

.PHONY: programs tests measuring exercises
programs: $(PROGRAMS) $(if $(filter build,$(BUILD)),compile_commands.json)
tests: programs exercises $(TESTS) $(RUNNER)
# Some are wrong by what a sanitizer ends: under one, no wrong answer is graded.
exercises: $(EXERCISES) $(if $(SANITIZE),,$(WRONG_ANSWERS))
measuring: programs $(MEASURING)

$(PROGRAMS) $(MEASURING): $(BUILD)/%: $(BUILD)/objects/%.o $(PROTOCOL) $(COMMON)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(PACKAGE_LIBS)

$(TESTS): $(call objects,$(TEST_SOURCES)) $(PROTOCOL) $(COMMON)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(PACKAGE_LIBS) $(CATCH_LIBS)

# What grades exercises, for readers; and the exercises, their solutions, and the wrong answers that are patches of them.
$(RUNNER): $(call objects,$(RUNNER_SOURCES) $(filter-out %_test.cpp,$(wildcard tests/exercises/*.cpp)) \
  $(filter-out %/skip.cpp %/npm.cpp %/network.cpp,$(wildcard tests/support/*.cpp))) $(PROTOCOL) $(COMMON)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(PACKAGE_LIBS)

.SECONDEXPANSION:
solution = $(filter %/solutions/$(1).cpp,$(EXERCISE_SOURCES))
driver = $(filter %/drivers/$(1).o,$(call objects,$(DRIVER_SOURCES)))
$(filter-out $(BUILD)/exercises/%,$(EXERCISES)): $(BUILD)/%: $(BUILD)/objects/%.o $$(call driver,$$(*F)) $(COMMON)
	@mkdir -p $(@D)
	$(LINK) -o $@ $^ $(PACKAGE_LIBS)

$(filter $(BUILD)/exercises/%,$(EXERCISES)): $(BUILD)/exercises/%: $(BUILD)/objects/tests/exercises/%.o
	@mkdir -p $(@D)
	$(LINK) -o $@ $^

$(WRONG_ANSWERS:%=%.cpp): $(BUILD)/exercises/wrong/%.cpp: tests/exercises/wrong/%.patch \
  $$(call solution,$$(*D))
	@mkdir -p $(@D)
	@patch -s -f -o $@ $(lastword $^) $< || { rm -f $@; exit 1; }

$(WRONG_ANSWERS): $(BUILD)/exercises/wrong/%: $(BUILD)/exercises/wrong/%.cpp \
  $$(call driver,$$(*D)) $(COMMON)
	$(COMPILE) -w -c -o $@.o $<
	$(LINK) -o $@ $@.o $(filter-out %.cpp,$^) $(PACKAGE_LIBS)

$(COMMON): $(call objects,$(COMMON_SOURCES))
$(PROTOCOL): $(call objects,$(PROTOCOL_SOURCES))
$(COMMON) $(PROTOCOL):
	@rm -f $@
	ar rcs $@ $^

# -MMD writes down which headers a source includes; the last line of this part reads it the next time.
$(call objects,$(SOURCES)): $(BUILD)/objects/%.o: %.cpp $(BUILD)/flags
	@mkdir -p $(@D)
	$(COMPILE) $(if $(filter tests/%,$<),$(TESTS_FASTER)) -MMD -MP -c -o $@ $<

# Another compiler or other flags build everything anew: this file changes when they do, and only then.
.PHONY: always
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(COMPILE)' | cmp -s - $@ || echo '$(COMPILE)' >$@

# For clangd and clang-tidy.
compile_commands.json: $(BUILD)/flags Makefile $(SOURCES)
	@separator='['; for source in $(SOURCES); do \
	  printf '%s\n{"directory": "%s", "file": "%s", "command": "%s"}' "$$separator" '$(CURDIR)' "$$source" \
	    "$(COMPILE) -c $$source"; separator=','; done >$@; printf '\n]\n' >>$@

-include $(patsubst %.o,%.d,$(call objects,$(SOURCES)))

# ---- Using

.PHONY: help demo test test-again fuzz bench bench-build format check lint check-macos clean
help:
	@echo 'make                        all programs, into build/'
	@echo 'make demo [PAIR=udp/echo]   each pair once, both sides narrated (ALL=1: every single line;'
	@echo '                            WIRE=1: at the end, the diagram of the TCP pair)'
	@echo 'make test [ONLY="[tcp]"]    builds and runs every test (or those that Catch2 finds by ONLY)'
	@echo 'make test-again             only those that failed, one at a time'
	@echo 'make SANITIZE=address,undefined test     the same under sanitizers; also SANITIZE=thread'
	@echo 'make CXX=clang++            with clang; OPTIMIZE=1 for speed, CI=1 for warnings as errors'
	@echo 'make fuzz [SECONDS=60]      feeds the parsers and protocols what clang makes up'
	@echo 'make bench [PART=websocket] how fast the servers are, beside the least that a server can do'
	@echo 'make bench-build            what building costs'
	@echo 'make format                 lays out every file as .clang-format says'
	@echo 'make check                  are the files laid out so, and the scripts sound?'
	@echo 'make lint                   clang-tidy, over all but the tests'
	@echo 'make check-macos            compiles everything for macOS (with a compiler from npm)'
	@echo 'make clean                  removes build/'

demo: programs
	@TWO_TERMINALS_BUILD=$(BUILD) scripts/demo $(if $(ALL),--all) $(if $(WIRE),--wire) $(PAIR)

# Several parts at a time, since most tests wait most of the time; each part's output stays together.
PARTS := faults lessons exercises pages websocket in_use tcp udp tftp lecture others
BUSY := faults exercises  # these leave the processor to those that mostly wait
elsewhere := ~[browser]~[faults]~[lessons]~[soak]
faults_part := [faults]
lessons_part := [lessons]
exercises_part := [exercises]~[soak]
pages_part := [browser]~[exercises]~[soak],[websocket][interop]~[browser]~[soak]
websocket_part := [websocket]~[interop]~[chat]~[feed]~[bridge]~[tap]$(elsewhere)
in_use_part := [websocket][chat]~[interop]$(elsewhere),[websocket][feed]~[interop]$(elsewhere),\
[websocket][bridge]~[interop]$(elsewhere),[websocket][tap]~[interop]$(elsewhere)
tcp_part := [tcp]~[websocket]$(elsewhere)
udp_part := [udp]~[tftp]~[tcp]~[websocket]$(elsewhere)
tftp_part := [udp][tftp]~[tcp]~[websocket]$(elsewhere)
lecture_part := [lecture]~[exercises]~[udp]~[tcp]~[websocket]$(elsewhere)
others_part := ~[lecture]~[exercises]~[udp]~[tcp]~[websocket]$(elsewhere)
test: tests
ifdef ONLY
	@TWO_TERMINALS_BUILD=$(BUILD) $(TESTS) '$(ONLY)'
else
	@rm -f $(BUILD)/tests/*failed; export TWO_TERMINALS_BUILD=$(BUILD); $(foreach part,$(PARTS),\
	  TWO_TERMINALS_FAILED=$(BUILD)/tests/$(part).failed \
	  $(if $(filter $(part),$(BUSY)),nice) $(TESTS) '$($(part)_part)' >$(BUILD)/tests/$(part).log 2>&1 & $(part)=$$!;) \
	failed=; $(foreach part,$(PARTS),wait $$$(part) || failed="$$failed $(part)"; cat $(BUILD)/tests/$(part).log;) \
	for part in $$failed; do cat $(BUILD)/tests/$$part.failed || echo "$$part: ended early"; done \
	  >$(BUILD)/tests/failed 2>/dev/null; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; cat $(BUILD)/tests/failed; exit 1; }
endif

# What failed beside others may have wanted time only: by itself it has the machine. What fails here, too, is broken.
test-again: tests
	@[ -f $(BUILD)/tests/failed ] || { echo 'make test comes first'; exit 1; }; \
	[ -s $(BUILD)/tests/failed ] || { echo 'make test saw none fail'; exit 0; }; \
	! grep ': ended early$$' $(BUILD)/tests/failed || exit 1; \
	export TWO_TERMINALS_BUILD=$(BUILD); status=0; while read -r name; do \
	  $(TESTS) -w NoTests "\"$$name\"" </dev/null || status=1; done <$(BUILD)/tests/failed; exit $$status

fuzz:
	@sh scripts/fuzz $(SECONDS)

bench:
	@$(MAKE) --no-print-directory OPTIMIZE=1 measuring
	@scripts/bench build/optimized $(or $(SECONDS),2) $(PART)

bench-build:
	@CXX='$(CXX)' scripts/bench-build $(PROGRAM_SOURCES)

FORMATTED = $(shell find common $(CHAPTERS) scripts tests -name '*.[ch]pp')
format:
	@clang-format -i $(FORMATTED)

check:
	@clang-format --dry-run --Werror $(FORMATTED)
	@shellcheck -x $$(grep -lE '^#!.*sh$$' .ci/run scripts/*) tests/bench/*.sh tests/support/lessons/*.sh

lint: compile_commands.json
	@printf '%s\n' $(filter-out tests/%,$(SOURCES)) | xargs -n 1 -P 2 clang-tidy --quiet -p .

check-macos:
	@scripts/check-macos $(filter-out $(LINUX_ONLY) $(BENCH_SOURCES),$(SOURCES)) $(BSD_ONLY)

clean:
	rm -rf build compile_commands.json
