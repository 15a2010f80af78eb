# What a scene of a lesson is made with (tests/support/lesson.hpp): sourced by bash, which then runs the block's commands.
# $build: where the programs are; $programs: where the block's commands find them; $port: what the lesson calls 7000; $folder: what it calls /tmp.
# shellcheck shell=bash disable=SC2154,SC2034

# scene NAME: runs NAME.sh. Whatever it starts ends when the shell does.
scene() {
    programs=$build
    trap 'kill -KILL $(ps -o pid= --ppid $$) 2>/dev/null' EXIT
    # shellcheck disable=SC1090
    . "tests/support/lessons/$1.sh"
}

# until_true COMMAND...: waits for it; whoever replays the lesson has a time limit.
until_true() { until "$@" >/dev/null 2>&1; do sleep 0.02; done; }

# start_server PROGRAM [OPTION...]: once it listens, its process number is in $server.
start_server() {
    local name=$1
    shift
    case $name in
        */unix/passing_server | */unix/restart_server) set -- --port "$port" "$@" ;;
        */unix/*) ;;
        *) set -- --port "$port" "$@" ;;
    esac
    "$name" "$@" >"$folder/server.out" 2>"$folder/server.err" &
    server=$!
    until_true grep -q '^listening on' "$folder/server.out"
}

# changed PROGRAM SED_SCRIPT: builds tcp/echo_client, say, as the lesson says it is to be changed. $changed runs it, and
# so does the block's build/tcp/echo_client.
changed() {
    local sanitizers=${build#*/sanitize-} source=$folder/changed.cpp
    [ "$sanitizers" = "$build" ] && sanitizers=''
    sanitizers=${sanitizers%%/*}
    { echo "#line 1 \"$1.cpp\""; sed -E "$2" "$1.cpp"; } >"$source"
    if tail -n +2 "$source" | cmp -s - "$1.cpp"; then
        echo "nothing was changed in $1.cpp"
        exit 1
    fi
    programs=$folder/programs
    changed=$programs/$1
    mkdir -p "${changed%/*}"
    # shellcheck disable=SC2046
    g++ -std=c++20 -I. -O0 ${sanitizers:+-fsanitize=${sanitizers//-/,}} $(pkg-config --cflags fmt libcrypto zlib) \
        -o "$changed" "$source" "$build/libprotocol.a" "$build/libcommon.a" $(pkg-config --libs fmt libcrypto zlib)
}
