# Whoever runs the block is not root.
# shellcheck shell=bash disable=SC2154,SC2034
. tests/support/lessons/sudo.sh
cp LICENSE "$folder/"
cd "$folder" || exit
if [ "$(id -u)" = 0 ]; then
    for program in "$programs"/unix/*; do
        mv "$program" "$program.nobodys"
        {
            echo '#!/bin/sh'
            # shellcheck disable=SC2016
            echo 'exec setpriv --reuid nobody --regid nogroup --clear-groups "$0.nobodys" "$@"'
        } >"$program"
        chmod 755 "$program"
    done
    mkdir "$folder/nobodys"
    chown nobody "$folder/nobodys"
    XDG_RUNTIME_DIR=$folder/nobodys
fi
