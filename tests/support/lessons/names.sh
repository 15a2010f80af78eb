# Names as in the lesson: a program that is run here has an /etc/hosts and an /etc/services of its own.
# shellcheck shell=bash disable=SC2154
echo '127.0.0.1 localhost' >"$folder/hosts"
echo 'bbs 7000/tcp' >"$folder/services"
programs=$folder/programs
mkdir -p "$programs/tcp"
cat >"$programs/tcp/addresses" <<END
#!/bin/sh
exec unshare -m sh -c 'mount --bind $folder/hosts /etc/hosts && mount --bind $folder/services /etc/services &&
    exec "\$0" "\$@"' $PWD/$build/tcp/addresses "\$@"
END
chmod +x "$programs/tcp/addresses"
