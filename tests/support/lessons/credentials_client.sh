# A client that says hello once the block's credentials server listens.
# shellcheck shell=bash disable=SC2154,SC2034
{
    until_true test -S "$XDG_RUNTIME_DIR/two-terminals/credentials"
    echo hello | "$build/unix/credentials_client"
} >/dev/null 2>&1 &
