# The credentials server of somebody who is neither root nor nobody, with --allow root.
# shellcheck shell=bash disable=SC2154,SC2034
. tests/support/lessons/sudo.sh
mkdir "$folder/open"
chown daemon "$folder/open"
chmod 755 "$folder/open"
# shellcheck disable=SC2024
sudo -u daemon "$programs/unix/credentials_server" --allow root --path "$folder/open/door" >"$folder/door" 2>&1 &
until_true grep -q '^listening on' "$folder/door"
