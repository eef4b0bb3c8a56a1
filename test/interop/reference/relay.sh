#!/bin/bash
# Starts/stops real Debian tox-bootstrapd processes as TCP relays on loopback.
#
#   relay.sh start PORT DIR        start one; prints {"pid":..,"port":..,"pk":..,"relay":"127.0.0.1:PORT:PK"}
#   relay.sh startn N PORT DIR     start N on PORT, PORT+1, ... in DIR/0, DIR/1, ...
#   relay.sh stop DIR              SIGTERM the daemon recorded in DIR/pid and wait for it
#   relay.sh kill DIR              SIGKILL it (crash)
#   relay.sh restart DIR           start again with the same port and key
#   relay.sh stat DIR              {"utime_s":..,"stime_s":..,"rss_kb":..,"hwm_kb":..,"fds":..}
#
# A DIR keeps its keys file, so restarting a relay keeps its public key.
# UDP/DHT of the daemon uses the same port number, also on loopback only.
#
# CTOX_RCVBUF (default 8388608; 0 = stock) is the receive buffer of the relay's
# sockets.  The stock daemon stalls for good on loopback bulk data (README.md, pitfalls).
set -eu
export CTOX_RCVBUF=${CTOX_RCVBUF:-8388608}
here=$(cd "$(dirname "$0")" && pwd)
out=${CTOX_OUT:-$here/../../../.tmp/reference}

start() {
  local port=$1 dir=$2
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  # a pid file that a crash left behind may name a process that is something else by now
  if [ -f "$dir/pid" ] && [ "$(cat "/proc/$(cat "$dir/pid")/comm" 2>/dev/null || true)" = tox-bootstrapd ]; then
    echo "already running: $(cat "$dir/pid")" >&2; return 1
  fi
  cat > "$dir/conf" <<CONF
port = $port
keys_file_path = "$dir/keys"
pid_file_path = "$dir/daemon.pid"
enable_ipv6 = false
enable_ipv4_fallback = true
enable_lan_discovery = false
enable_tcp_relay = true
tcp_relay_ports = [$port]
enable_motd = false
motd = ""
bootstrap_nodes = ()
CONF
  echo "$port" > "$dir/port"
  : > "$dir/log"
  LD_PRELOAD="$out/bindlo.so" setsid tox-bootstrapd --config="$dir/conf" --foreground \
    --log-backend=stdout >"$dir/log" 2>&1 </dev/null &
  local pid=$!
  disown
  echo "$pid" > "$dir/pid"
  local pk= i
  # 20 s: a busy machine may take some of them
  for i in $(seq 1 1000); do
    pk=$(sed -n 's/^.*Public Key: *\([0-9A-Fa-f]\{64\}\).*$/\1/p' "$dir/log")
    [ -n "$pk" ] && break
    kill -0 "$pid" 2>/dev/null || { echo "tox-bootstrapd died:" >&2; cat "$dir/log" >&2; return 1; }
    sleep 0.02
  done
  [ -n "$pk" ] || { echo "no public key in log" >&2; cat "$dir/log" >&2; return 1; }
  echo "$pk" > "$dir/pk"
  printf '{"pid":%s,"port":%s,"pk":"%s","relay":"127.0.0.1:%s:%s","dir":"%s"}\n' \
    "$pid" "$port" "$pk" "$port" "$pk" "$dir"
}

sig() {
  local s=$1 dir=$2 pid i
  # killed already: a test's clean-up must not fail because the test did it
  [ -f "$dir/pid" ] || return 0
  pid=$(cat "$dir/pid")
  # only ever signal a process that is still the daemon that we started
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = tox-bootstrapd ]; then
    kill "-$s" "$pid"
    for i in $(seq 1 1000); do
      [ "$(cat "/proc/$pid/comm" 2>/dev/null || true)" = tox-bootstrapd ] || break
      case "$(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null || echo X)" in Z|X) break ;; esac
      sleep 0.01
    done
  fi
  rm -f "$dir/pid"
}

stat_() {
  local pid tck
  pid=$(cat "$1/pid"); tck=$(getconf CLK_TCK)
  awk -v t="$tck" '{sub(/^.*\) /,""); printf "{\"utime_s\":%.2f,\"stime_s\":%.2f,", $12/t, $13/t}' "/proc/$pid/stat"
  awk '/^VmHWM/{h=$2} /^VmRSS/{r=$2} END{printf "\"rss_kb\":%d,\"hwm_kb\":%d,", r, h}' "/proc/$pid/status"
  printf '"fds":%d}\n' "$(ls "/proc/$pid/fd" | wc -l)"
}

case "${1:-}" in
  start) start "$2" "$3" ;;
  startn) for ((k = 0; k < $2; k++)); do start "$(($3 + k))" "$4/$k"; done ;;
  stop) sig TERM "$2" ;;
  kill) sig KILL "$2" ;;
  restart) start "$(cat "$2/port")" "$2" ;;
  stat) stat_ "$2" ;;
  *) sed -n '2,16p' "$0"; exit 2 ;;
esac
