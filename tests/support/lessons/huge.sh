# A server of a large file; the block's commands are given in a folder of their own.
# shellcheck shell=bash disable=SC2154,SC2034
mkdir -p "$folder/big" "$folder/here"
truncate -s 3G "$folder/big/huge"
start_server "$build/tcp/file_server" --folder "$folder/big"
programs=$PWD/$build
cd "$folder/here" || exit
