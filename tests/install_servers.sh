#!/usr/bin/env bash
# Makes sure of what the tests need beyond pip: the PostgreSQL, MariaDB and RabbitMQ servers, openssl for their
# certificates, and what builds mysqlclient.
# Does nothing when all is there. PYTHON names the interpreter that mysqlclient is built for (default: python3).
# A server given by TOMQUEUE_TEST_POSTGRES_URL or TOMQUEUE_TEST_MYSQL_URL needs no local one; RabbitMQ is always
# needed, because tests stop and start it. WITH_REDIS=1: Redis as well, which only the benchmarks use.
set -euo pipefail

python=${PYTHON:-python3}
debian=() # missing, as Debian names it
brew=()   # the same for macOS

has_program() {
  command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null || [ -x "/usr/sbin/$1" ] ||
    compgen -G "/opt/homebrew/opt/*/bin/$1" >/dev/null || compgen -G "/usr/local/opt/*/bin/$1" >/dev/null
}

has_rabbitmq() { # where tests/servers.py looks for it
  compgen -G "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server" >/dev/null ||
    compgen -G "/opt/homebrew/opt/rabbitmq*/sbin/rabbitmq-server" >/dev/null ||
    compgen -G "/usr/local/opt/rabbitmq*/sbin/rabbitmq-server" >/dev/null
}

has_client_library() {
  local name
  for name in mysqlclient mariadb libmariadb perconaserverclient; do # the names mysqlclient's setup.py tries
    if pkg-config --exists "$name" 2>/dev/null; then return 0; fi
  done
  return 1
}

has_python_headers() {
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
}

debian_headers() { # Debian's own Python has its headers in python3-dev, any other apt Python in python3.X-dev
  local version='import sys; print("%d.%d" % sys.version_info[:2])' ours
  ours=$("$python" -c "$version")
  if [ "$ours" = "$(/usr/bin/python3 -c "$version" 2>/dev/null)" ]; then echo python3-dev; else echo "python$ours-dev"; fi
}

find_missing() {
  debian=() brew=()
  if [ -z "${TOMQUEUE_TEST_POSTGRES_URL:-}" ] && ! { has_program initdb && has_program postgres; }; then
    debian+=(postgresql) brew+=(postgresql)
  fi
  if [ -z "${TOMQUEUE_TEST_MYSQL_URL:-}" ] && ! { has_program mariadbd && has_program mariadb-install-db; }; then
    debian+=(mariadb-server) brew+=(mariadb)
  fi
  has_rabbitmq || { debian+=(rabbitmq-server) && brew+=(rabbitmq); }
  [ -z "${WITH_REDIS:-}" ] || has_program redis-server || { debian+=(redis-server) && brew+=(redis); }
  has_program openssl || { debian+=(openssl) && brew+=(openssl); }
  has_program pkg-config || { debian+=(pkg-config) && brew+=(pkgconf); }
  has_client_library || { debian+=(libmariadb-dev) && brew+=(mariadb-connector-c); }
  has_program "${CC:-gcc}" || { debian+=(gcc libc6-dev) && brew+=(gcc); }
  has_python_headers || { debian+=("$(debian_headers)") && brew+=(python); }
}

tell_and_fail() {
  echo "The tests need more than pip can install. As root on Debian or Ubuntu this script installs it; otherwise run:" >&2
  echo "  Debian, Ubuntu: sudo apt-get install ${debian[*]}" >&2
  echo "  macOS:          brew install ${brew[*]}" >&2
  echo "or give running servers in TOMQUEUE_TEST_POSTGRES_URL and TOMQUEUE_TEST_MYSQL_URL." >&2
  exit 1
}

# The tests start private servers of their own; the packages' system-wide ones must not start.
policy=/usr/sbin/policy-rc.d
saved_policy=$policy.before-tomqueue

forbid_daemons() {
  local answer=0
  if [ -x "$policy" ]; then
    "$policy" mariadb start >/dev/null 2>&1 || answer=$?
    if [ "$answer" = 101 ]; then return; fi # already forbidden
  fi
  trap restore_policy EXIT
  if [ -e "$policy" ]; then mv "$policy" "$saved_policy"; fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
}

restore_policy() {
  rm -f "$policy"
  if [ -e "$saved_policy" ]; then mv "$saved_policy" "$policy"; fi
}

install_missing() {
  export DEBIAN_FRONTEND=noninteractive
  forbid_daemons
  apt-get -qq -o DPkg::Lock::Timeout=300 update
  apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${debian[@]}"
}

find_missing
if [ ${#debian[@]} -eq 0 ]; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then tell_and_fail; fi
echo "Installing ${debian[*]} for the tests"
install_missing
find_missing
if [ ${#debian[@]} -ne 0 ]; then tell_and_fail; fi
