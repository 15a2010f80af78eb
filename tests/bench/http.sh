# shellcheck shell=bash
# The speed of tcp/http_server, as ratios to nginx: the same two files to the same wrk, turn about, three times each, and
# the middle ratio is printed. nginx has one worker, no access log, and sendfile; it is not installed, but fetched as a
# Debian package into build/ and run from there, at a port of its own.
#
# The unit is requests per second of the server's own CPU time, user and system, since time on the wall measures the
# machine and whoever else uses it. Requests per second on the wall stand beside it.
. tests/bench/measure.sh "$@"
command -v wrk >/dev/null || { echo "not measured: there is no wrk here (apt-get install wrk)"; exit 0; }

site=$work/site
mkdir "$site"
head -c 1024 /dev/urandom >"$site/1KiB"
head -c 1048576 /dev/urandom >"$site/1MiB"
start "$build/tcp/http_server" --port 0 --directory "$site"
ours=$pid ours_port=$port

# nginx itself: installed, or taken out of its package. Leaves it in $nginx; fails if it can't be had.
find_nginx() {
  local folder=$PWD/build/nginx
  nginx=$(command -v nginx || echo "$folder/usr/sbin/nginx")
  [ -x "$nginx" ] || {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return
    mkdir -p "$folder" || return
    (cd "$folder" && apt-get download nginx nginx-common && for package in *.deb; do dpkg -x "$package" .; done) \
      >"$work/fetching" 2>&1
  }
  "$nginx" -v >/dev/null 2>&1
}

# Starts it at a port near ours: the next one that nobody has. Leaves process and port in $theirs and $theirs_port.
start_nginx() {
  for step in 1 2 3 4 5; do
    theirs_port=$((ours_port < 60000 ? ours_port + 7 * step : ours_port - 7 * step))
    try_nginx && return
  done
  return 1
}

try_nginx() {
  cat >"$work/nginx.conf" <<END
daemon off; master_process off; worker_processes 1; pid $work/nginx.pid; error_log $work/nginx.errors;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; default_type application/octet-stream; keepalive_requests 100000000;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  server { listen 127.0.0.1:$theirs_port; root $site; }
}
END
  "$nginx" -p "$work" -c "$work/nginx.conf" 2>>"$work/errors" &
  theirs=$!
  pids+=("$theirs")
  for _ in $(seq 50); do
    sleep 0.1
    kill -0 "$theirs" 2>/dev/null || return 1  # somebody has the port
    (: >"/dev/tcp/127.0.0.1/$theirs_port") 2>/dev/null && return
  done
  return 1
}

# Seconds of CPU time that a process has used, in hundredths (proc(5)).
cpu_seconds() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / tick }' "/proc/$1/stat"; }

# measure PID PORT FILE: "requests per CPU second, requests per second on the wall"
measure() {
  local before after said
  before=$(cpu_seconds "$1")
  said=$(wrk -t 1 -c 100 -d "${seconds}s" "http://127.0.0.1:$2/$3") || return
  after=$(cpu_seconds "$1")
  grep -qE 'Non-2xx|Socket errors' <<<"$said" && echo "$said" >&2
  awk -v cpu="$(awk -v a="$after" -v b="$before" 'BEGIN { print a - b }')" \
    '/ requests in / { n = $1 } /^Requests\/sec/ { wall = $2 } END { printf "%d %d\n", (cpu > 0 ? n / cpu : 0), wall }' <<<"$said"
}

if find_nginx && start_nginx; then
  echo "Requests per second of the server's CPU time, of 100 connections, beside nginx ($("$nginx" -v 2>&1 | sed 's/.*: //'))"
  printf '%-6s %12s %12s %7s %6s   %s\n' file nginx http_server ratio aim 'on the wall, requests/s: nginx, http_server, ratio'
  for file in 1KiB 1MiB; do
    : >"$work/ratios"
    for _ in 1 2 3; do
      a=$(measure "$theirs" "$theirs_port" "$file") || exit
      b=$(measure "$ours" "$ours_port" "$file") || exit
      awk -v a="${a% *}" -v b="${b% *}" -v wa="${a#* }" -v wb="${b#* }" \
        'BEGIN { printf "%.3f %d %d %d %d %.3f\n", (a > 0 ? b / a : 0), a, b, wa, wb, (wa > 0 ? wb / wa : 0) }' >>"$work/ratios"
    done
    read -r ratio a b wa wb wall <<<"$(middle <"$work/ratios")"
    printf '%-6s %12s %12s %7s %6s   %s, %s, %s\n' $file "$a" "$b" "$ratio" 0.5 "$wa" "$wb" "$wall"
  done
else
  echo "nginx is not here, and could not be fetched or started: http_server alone"
  tail -n 1 "$work/fetching" "$work/nginx.errors" 2>/dev/null
  echo "Requests per second of the server's CPU time, and on the wall, of 100 connections"
  for file in 1KiB 1MiB; do echo "$file $(measure "$ours" "$ours_port" "$file")"; done
fi
