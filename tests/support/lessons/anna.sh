# A chat server, and anna, who says something once she was greeted.
# shellcheck shell=bash disable=SC2154,SC2094
start_server "$build/tcp/chat_server"
{
    until_true grep -q 안녕 "$folder/anna"
    echo 나는 지금 타자를 치는 중
    exec sleep 60
} | "$build/tcp/chat_client" --name anna --port "$port" >"$folder/anna" 2>&1 &
until_true grep -q 'nobody is here' "$folder/anna"
